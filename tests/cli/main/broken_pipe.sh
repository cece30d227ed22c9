set +e
"$EDGELLM" tokenize -m "$M" --pieces -f "$T" 2> err | head -c 1 > /dev/null
code=${PIPESTATUS[0]}
set -e
is "$code" 141
empty err
