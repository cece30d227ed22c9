# A plan as a file: what rules make, saved, gives the same bytes; a change by hand counts; what does not fit is refused by name.
el calibrate -q --chunks 2 -o s.gguf "$M"
round() { # NAME ARGS...: rules, then the plan they made
    local name=$1
    shift
    el quantize -q --dry-run --save-plan "$name.json" "$@"
    no_files "$name.gguf"
    el quantize -q "$@"
    mv o.gguf rules.gguf
    local type=${*: -1}
    local rest=("${@:1:$#-1}") more=()
    [[ " $* " == *" --stats "* ]] && more=(--stats s.gguf)
    [[ " $* " == *" --keep-split "* ]] && more+=(--keep-split)
    is "${rest[-1]}" o.gguf
    el quantize -q "${more[@]}" --plan "$name.json" "$M" o.gguf
    same o.gguf rules.gguf
    is "$(stat -c %s o.gguf)" "$(json nbytes "$name.json")"
    [ "$type" = COPY ] || has "$name.json" '"method": "\(search\|gptq\|convert\|hqq\)"'
}
round a "$M" o.gguf Q4_K_M
rm o.gguf; round b --pure "$M" o.gguf Q3_K
rm o.gguf; round c --tensor-type 'attn_v=Q8_0' --output-tensor-type Q5_K --pure "$M" o.gguf G4_32
rm o.gguf; round d --method gptq --stats s.gguf --damping 0.1 --order act "$M" o.gguf IQ4_XS
rm o.gguf; round e "$M" o.gguf COPY
rm o.gguf; round g --method gptq --stats s.gguf --no-descent "$M" o.gguf Q3_K
rm o.gguf; round f --method hqq --rounds 3 "$M" o.gguf Q4_0
has a.json '^  "made_by": "Q4_K_M",$'
has a.json '^  "file_type": 15,$'
has d.json '"options": {"damping": 0.1, "order": "act"}'
has f.json '"options": {"rounds": 3}'
has g.json '"options": {"no_descent": true}'
has e.json '"keep_metadata": true'
[ "$(grep -c '^    {"name": ' a.json)" -eq 47 ] || fail "not a line for every tensor"
rc 4 "$EDGELLM" quantize -q --dry-run --save-plan a.json "$M" Q4_K_M
has err 'a.json.*exists'
el quantize -q --dry-run --force --save-plan a.json "$M" Q4_K_M

# By hand: a type, a method; what else a line says is not asked.
sed -e 's/\("blk.0.attn_q.weight", "type": \)"Q4_K"/\1"Q8_0"/' -e 's/\("blk.1.attn_k.weight", .*\)"search"/\1"mse"/' a.json > h.json
el quantize -q --force --plan h.json "$M" o.gguf
el info --tensors o.gguf
has out 'blk.0.attn_q.weight.*Q8_0'
el info --metadata edgellm.plan o.gguf
has out 'blk.1.attn_k.weight Q4_K mse'
el verify o.gguf

bad() { # SED-SCRIPT MESSAGE [CODE]
    sed -e "$1" a.json > bad.json
    differ a.json bad.json
    rc "${3:-2}" "$EDGELLM" quantize -q --plan bad.json "$M" x.gguf
    has err "$2"
    no_files x.gguf
}
line=$(grep -n '"blk.0.attn_q.weight"' a.json | cut -d: -f1)
bad '/"blk.0.attn_q.weight"/d' "no line for tensor 'blk.0.attn_q.weight'"
bad 's/"blk.0.attn_q.weight"/"blk.0.attn_x.weight"/' "bad.json': line $line: .*no tensor 'blk.0.attn_x.weight'"
bad 's/\("blk.0.attn_q.weight", "type": "\)Q4_K/\1Q9_K/' "line $line: tensor 'blk.0.attn_q.weight': .*Q9_K.*Q4_K" 3
bad 's/\("blk.0.attn_q.weight", .*\)"search"/\1"gptq"/' "tensor 'blk.0.attn_q.weight': method 'gptq' needs statistics"
bad 's/\("blk.0.attn_q.weight", .*\)"search"/\1"serch"/' "unknown method 'serch'" 3
bad 's/"model_sha256": "[0-9a-f]\{8\}/"model_sha256": "00000000/' "made for another model"
bad 's/"version": 1/"version": 2/' 'version 2, this program reads 1' 8
bad 's/^  "tensors": \[/  "tensors": [,/' 'not valid JSON at line .*, byte ' 3
sed '/"model_sha256"/d' a.json > any.json
el quantize -q --force --plan any.json "$M" o.gguf
sed 's/"stats_sha256": "[0-9a-f]\{8\}/"stats_sha256": "00000000/' d.json > bad.json
rc 2 "$EDGELLM" quantize -q --plan bad.json --stats s.gguf "$M" x.gguf
has err 'made for another statistics'
rc 2 "$EDGELLM" quantize --plan a.json --pure "$M" x.gguf
has err "plan says what --pure says"
rc 2 "$EDGELLM" quantize --plan a.json --skip attn "$M" x.gguf
has err "plan says what --skip says"
rc 8 "$EDGELLM" quantize -q --dry-run --method awq+gptq --stats s.gguf --save-plan w.json "$M" Q4_K
has err "method 'awq' changes the model, which a plan file cannot say"
no_files w.json
rc 2 "$EDGELLM" quantize --plan a.json "$M"
has err "OUT is missing"
rc 4 "$EDGELLM" quantize --plan none.json "$M" x.gguf
