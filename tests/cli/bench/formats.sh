B1="$EDGELLM bench -m $Q -p 16 -n 4 -r 2 --no-limit"
$B1 > out
has out '^| model  *| *size | *params | backend *| threads | *test | *t/s |$'
is "$(grep -c '^| llama ' out)" 2
has out ' pp16 | '
has out ' tg4 | '
$B1 -o md > out && has out '^| model'
$B1 -o json > out
has out '^\[$'
for k in build_commit build_number cpu_info gpu_info backends model_filename model_type model_size model_n_params n_batch n_ubatch n_threads \
         type_k type_v n_prompt n_gen n_depth test_time avg_ns stddev_ns avg_ts stddev_ts samples_ns samples_ts ttft_ns itl_ns_p50 itl_ns_p95 \
         itl_ns_p99 bytes_per_token ops_per_token limit limit_share read_bytes_per_s int8_ops_per_s f32_ops_per_s peak_rss_bytes model_sha256 status cpu_level; do
    is "$(grep -c "\"$k\": " out)" 2
done
has out '"model_n_params": 4983552'
has out '"status": "ok"'
has out '"model_sha256": null'
$B1 --json > out && has out '^\[$'
$B1 --output jsonl > out
is "$(wc -l < out)" 2
is "$(grep -c '^{.*}$' out)" 2
$B1 -o csv > out
is "$(wc -l < out)" 3
has out '^build_commit,build_number,'
$B1 -o sql > out
has out '^CREATE TABLE IF NOT EXISTS edgellm_bench ($'
is "$(grep -c '^INSERT INTO edgellm_bench ("build_commit' out)" 2
if command -v sqlite3 > /dev/null; then
    sqlite3 :memory: ".read out" 'SELECT "limit" FROM edgellm_bench;' > rows || fail "not SQL that a program takes"
    is "$(wc -l < rows)" 2
fi
$B1 -o csv -oe jsonl > out 2> err
is "$(wc -l < err)" 2
$B1 -o csv --output-err md > out 2> err
has err '^| model'
rc 2 $B1 -o xml
# Columns of a table for what varies or is not the default.
$B1 > out && lacks out 'n_batch\|type_k\|type_v'
$B1 -ctk f16,f32 -b 8 > out
has out ' threads | n_batch | type_k | *test '
lacks out 'type_v'
is "$(grep -c '|       8 |    f32 | ' out)" 2
is "$(awk -F'|' 'NF > 1 { print NF }' out | sort -u)" 11
