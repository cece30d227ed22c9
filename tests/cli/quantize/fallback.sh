F=$EL_TEST_DATA/fixtures/llama/model-f32.gguf
[ -f "$F" ] || skip "no fixtures"
el quantize --quiet "$F" o.gguf Q4_K_M
has err '^fallback: blk.0'
el info --metadata edgellm.plan o.gguf
has out 'fallback: '
el verify o.gguf
