# Log probabilities of the chosen and of the likeliest tokens.
el run -m "$M" -n 4 --temp 0 --json --logprobs 3 "The garden was"
python3 - out <<'P' 2> /dev/null || { grep -c '"logprob"' out > n; is "$(cat n)" 16; }
import json, sys
d = json.load(open(sys.argv[1]))
assert len(d["logprobs"]) == 4
for t, i in zip(d["logprobs"], d["ids"]):
    assert t["id"] == i == t["top"][0]["id"] and t["logprob"] == t["top"][0]["logprob"] < 0
    assert len(t["top"]) == 3 and t["top"][1]["logprob"] >= t["top"][2]["logprob"]
    assert bytes(t["bytes"]).decode() == t["text"]
assert "".join(t["text"] for t in d["logprobs"]) == d["text"]
P
# Biases and temperature do not change them; 0 gives the chosen token alone.
first=$(grep -m 1 '"logprob":' out)
el run -m "$M" -n 1 --temp 2 -l 5+3 --top-k 1 --logprobs 0 --json "The garden was"
is "$(grep -c '"logprob":' out)" 1
el run -m "$M" -n 1 --temp 0 --logprobs 0 --json "The garden was"
is "$(grep -m 1 '"logprob":' out)" "${first%,},"
# Without JSON there is no place for them.
rc 2 "$EDGELLM" run -m "$M" --logprobs 1 x
has err "option '--logprobs' needs --json or --jsonl"
echo '{"prompt": "The garden was", "logprobs": 1, "n_predict": 2}' | rc 0 "$EDGELLM" run -m "$M" --jsonl -
is "$(grep -o '"logprob":' out | wc -l)" 4
