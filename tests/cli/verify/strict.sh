cp "$M" long.gguf
head -c 64 /dev/zero >> long.gguf
el verify -q long.gguf
has out '^warning: .*64 .*bytes'
has out ': ok, with warnings$'
empty err
is "$(grep -c '^warning' out)" 1
el verify --json long.gguf
is "$(json ok)" true
is "$(json n_warnings)" 1
empty err
rc 3 "$EDGELLM" verify --strict long.gguf
