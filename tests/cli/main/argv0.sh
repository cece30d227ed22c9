ln -s "$EDGELLM" edgellm-info
ln -s "$EDGELLM" edgellm-eval-ppl
ln -s "$EDGELLM" edgellm-eval
ln -s "$EDGELLM" edgellm-nothing
ln -s "$EDGELLM" other
lib=$(dirname "$EDGELLM")
export LD_LIBRARY_PATH="$lib"
rc 0 ./edgellm-info --metadata general.architecture "$M"
is "$(cat out)" llama
rc 0 ./edgellm-eval-ppl --help
has out '^usage: edgellm eval ppl'
rc 0 ./edgellm-eval kld --help
has out '^usage: edgellm eval kld'
rc 2 ./edgellm-nothing --help
has err "unknown command 'nothing'"
rc 0 ./other --version
rc 2 ./edgellm-info
rc 2 bash -c 'exec -a "" "$EDGELLM"'
rc 0 bash -c 'exec -a "" "$EDGELLM" --version'
rc 0 bash -c 'exec -a edgellm-version "$EDGELLM"'
ln -s "$EDGELLM" edgellm-eval 2> /dev/null || true
rc 0 ./edgellm-eval --help
has out "^usage: edgellm eval COMMAND"
