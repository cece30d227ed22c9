el run -m "$M" --temp 0 -n 20 "Once upon a time"
empty err
is "$(cat out)" ", there was a little girl named Lily. She was so excited that she was so happy and happy"
cp out first
for t in 1 2 3 8; do el run -m "$M" --temp 0 -n 20 -t $t "Once upon a time"; same out first; done
for b in 1 2 7 512; do el run -m "$M" --temp 0 -n 20 -b $b "Once upon a time"; same out first; done
el run -m "$B" --temp 0 -n 20 --threads 2 --batch-size 3 "Once upon a time" && same out first
