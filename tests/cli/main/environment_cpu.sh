for words in "run -m $M x" "eval ppl -m $M -f $T" "bench -m $M -p 1 -n 1" "quantize $M o.gguf Q8_0" "convert $M p.gguf"; do
    # shellcheck disable=SC2086
    rc 2 env EDGELLM_CPU=fast "$EDGELLM" $words
    has err "environment variable EDGELLM_CPU: 'fast' is no CPU level"
    one_line err
done
no_files o.gguf p.gguf
# A level of another kind of machine is no level here.
case $(uname -m) in aarch64) foreign=avx2 ;; *) foreign=neon ;; esac
rc 2 env EDGELLM_CPU=$foreign "$EDGELLM" run -m "$M" x
has err "'$foreign' is no CPU level of this machine; there are ref, "
EDGELLM_CPU=ref "$EDGELLM" --version --json > out
has out '"kernels": "ref"'
rc 2 "$EDGELLM" run --cpu fast -m "$M" x
has err "option '--cpu': "
