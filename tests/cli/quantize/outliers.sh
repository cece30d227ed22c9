# Planted outliers (the same function) spoil plain rounding; scales and rotations win back at least 80 % of what they cost.
P=$EL_TEST_DATA/../../build/tools/plant_outliers
[ -x "$P" ] || skip "build/tools/plant_outliers is missing: make tools"
el convert -q --type f32 "$B" plain.gguf
cp plain.gguf planted.gguf
"$P" planted.gguf factor=50 channels=4 > out
has out '^40 gains times 50, 100 columns divided$'
kld() { el eval kld --base plain.gguf -f "$T" --chunks 2 --json "$@"; json kld_mean; }
awk -v k="$(kld -m planted.gguf)" 'BEGIN { exit !(k < 1e-4) }' || fail "the planted model is not the same function"
el calibrate -q --chunks 16 -o s.gguf planted.gguf
rounded() { # MODEL TYPE METHOD [options of eval]
    local m=$1 t=$2 how=$3
    shift 3
    el quantize -q --force --pure --token-embedding-type F16 --output-tensor-type F16 --stats s.gguf --method "$how" "$m" q.gguf "$t"
    kld -m q.gguf "$@"
}
won_back() { # TYPE "METHODS" [options of eval]
    local t=$1 methods=$2 a b m k
    shift 2
    a=$(rounded plain.gguf "$t" rtn "$@") b=$(rounded planted.gguf "$t" rtn "$@")
    awk -v a="$a" -v b="$b" 'BEGIN { exit !(b > 1.5 * a) }' || fail "$t $*: the outliers cost little: $a, $b"
    for m in $methods; do
        k=$(rounded planted.gguf "$t" "$m" "$@")
        awk -v a="$a" -v b="$b" -v k="$k" 'BEGIN { exit !((b - k) / (b - a) >= 0.8) }' || fail "$t $m $*: $k of $a and $b"
    done
}
won_back Q4_0 "awq+rtn quarot"
won_back Q8_0 "smoothquant quarot" --act-bits 8 --act-granularity token
