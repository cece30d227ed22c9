el --version
one_line out
grep -qxE 'edgellm [0-9]+\.[0-9]+\.[0-9]+' out || fail "version line"
cp out first
el version && same out first
el --version --json
for k in version commit compiler libraries cpu kernels; do has out "\"$k\": "; done

# OpenBLAS is optional. Where it is found, kernels of another CPU are replaced; where it cannot be loaded, nothing else changes.
if grep -q '"openblas": {"found": true' out; then
    has out '"openblas": {"found": true, "version": "[0-9.]*", "core_detected": "[A-Za-z0-9_]*", "core_used": "[A-Za-z0-9_]*", "used_for": \[\]}'
    OPENBLAS_CORETYPE=Prescott el --version --json
    has out '"core_detected": "Prescott"'
    if grep -qE '"detected": "(avx512|amx)' out; then
        has out '"core_used": "SkylakeX"'
    elif grep -qE '"detected": "avx(2|vnni)"' out; then
        has out '"core_used": "Haswell"'
    fi
else
    has out '"openblas": {"found": false, "used_for": \[\]}'
fi
mkdir none
echo 'not a library' > none/libopenblas.so.0
LD_LIBRARY_PATH=$PWD/none el --version --json
has out '"openblas": {"found": false, "used_for": \[\]}'

rc 2 "$EDGELLM" version x
