# --kernels: every variant of every kernel, by itself, in every format.
el bench --kernels --only matmul:q8_0 --only rope -t 1
has out '^| kernel *| type *| rows *| level *| *GB/s | *Gop/s | *of the limit | *of ref |$'
for rows in '1 from memory' '1 from cache' 2 8 64; do has out "^| matmul *| Q8_0 *| $rows *| ref *|.*[0-9] % of .*| *1.00 x |\$"; done
is "$(grep -c '^| rope .* from cache .* ref .*| *- | *- | *1.00 x |$' out)" 1
lacks out '| decode '
is "$(grep -c '^| matmul .*| ref ' out)" 5
# At the level of the reference there is nothing else.
el bench --kernels --only MATMUL:f16 --cpu ref -t 1 -o jsonl
is "$(wc -l < out)" "$(grep -c '"cpu_level": "ref"' out)"
is "$(grep -c '"type": "F16"' out)" 5
for k in n_threads kernel shape n_rows from_memory ns bytes_per_s ops_per_s ratio limit limit_share read_bytes_per_s; do has out "\"$k\": "; done
lacks out '"ns": 0.000000'
rc 2 "$EDGELLM" bench --kernels --only nothing
has err "contains 'nothing'"
rc 2 "$EDGELLM" bench --only rope
rc 2 "$EDGELLM" bench --kernels --machine
rc 2 "$EDGELLM" bench --kernels -m "$Q"
