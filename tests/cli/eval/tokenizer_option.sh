# A folder without its tokenizer: --tokenizer brings it.
mkdir m
cp "$B/config.json" "$B/model.safetensors" m/
head -c 3000 "$T" > text
rc 3 "$EDGELLM" eval ppl -m m -f text -c 64
el eval ppl -m m --tokenizer "$B/tokenizer.json" -f text -c 64 --json
with=$(json nll)
el eval ppl -m "$B" -f text -c 64 --json
is "$(json nll)" "$with"
