el --help
empty err
has out '^usage: edgellm COMMAND'
for c in convert quantize run 'eval ppl' 'eval kld' 'eval logits' bench tokenize info verify list version completion help; do
    has out "^  $c  *[A-Z]"
done
cp out first
el -h && same out first
el help && same out first
el eval --help
has out '^usage: edgellm eval COMMAND'
has out '^  eval kld  '
lacks out quantize
cp out first
el help eval && same out first
el eval -h && same out first
