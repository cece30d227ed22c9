el info --metadata general.architecture -- "$M"
is "$(cat out)" llama
el info "$M" --metadata=general.architecture
is "$(cat out)" llama
# Given twice, the last one counts.
el info "$M" --metadata nothing --metadata general.architecture
is "$(cat out)" llama
cp "$M" -- --odd-name.gguf
el info --metadata general.architecture -- --odd-name.gguf
is "$(cat out)" llama
