# Every byte, NULs too; what is not UTF-8 becomes U+FFFD.
for i in $(seq 0 255); do printf '%b' "\\x$(printf %02x "$i")"; done > bytes
el tokenize -m "$M" -f bytes
one_line out
printf 'caf\303\251 \342\202\254 \360\237\230\200\000end' > valid
"$EDGELLM" tokenize -m "$M" -f valid | "$EDGELLM" tokenize -m "$M" --decode > back
same valid back
"$EDGELLM" tokenize -m "$M" -f "$T" | "$EDGELLM" tokenize -m "$M" --decode > back
same "$T" back
head -c 131072 /dev/zero | tr '\0' a > long
el tokenize -m "$M" "$(cat long | head -c 120000)"
