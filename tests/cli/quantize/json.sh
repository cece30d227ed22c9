el quantize --json "$M" o.gguf Q4_0
is "$(json type)" '"Q4_0"'
is "$(json output)" '"o.gguf"'
is "$(json dry_run)" false
has out '"relative_error": 0.0'
has out '"method": "search"'
lacks out ' nan'
el quantize --json --force --method rtn "$M" o.gguf Q4_0
has out '"method": "rtn"'
rc 2 "$EDGELLM" quantize --force --method magic "$M" o.gguf Q4_0
has err magic
