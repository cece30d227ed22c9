# The members that the man page promises, in its order.
el info --json "$M"
is "$(sed -n 's/^  "\([a-z_]*\)": .*/\1/p' out | tr '\n' ' ')" 'schema_version file format total encodings metadata tensors '
is "$(json schema_version)" 1
is "$(sed -n '/^  "total": {/,/}/ s/^    "\([a-z_]*\)": .*/\1/p' out | tr '\n' ' ')" 'n_tensors n_elems nbytes bits_per_weight '
is "$(sed -n '/^  "tensors": \[/,$ s/^      "\([a-z_]*\)": .*/\1/p' out | head -n 9 | tr '\n' ' ')" \
    'name file_name encoding shape n_elems nbytes bits_per_weight offset file '
el info --json --tensors "$M"
is "$(sed -n 's/^  "\([a-z_]*\)": .*/\1/p' out | tr '\n' ' ')" 'schema_version file format tensors '
