rc 2 env EDGELLM_CPU=fast "$EDGELLM" run -m "$M" x
has err 'environment variable EDGELLM_CPU: '
EDGELLM_CPU=ref "$EDGELLM" --version --json > out
has out '"kernels": "ref"'
rc 2 "$EDGELLM" run --cpu fast -m "$M" x
has err "option '--cpu': "
