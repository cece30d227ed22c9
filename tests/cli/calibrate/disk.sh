# A disk that is full, for the statistics or for the rows between layers; the state of --resume stays and is gone on from.
head -c 6000 "$T" > t.txt
el calibrate -c 64 --chunks 6 -o 1.stats "$B" t.txt
rc=0
(ulimit -f 300; "$EDGELLM" calibrate -c 64 --chunks 6 -o 2.stats "$B" t.txt 2> err) || rc=$?
is $rc 4
one_line err
no_files 2.stats
rc=0
(ulimit -f 9500; "$EDGELLM" calibrate -c 64 --chunks 6 --resume -o 3.stats "$B" t.txt 2> err) || rc=$?
is $rc 4
no_files 3.stats
el calibrate -c 64 --chunks 6 --resume -o 3.stats "$B" t.txt
same 1.stats 3.stats
no_files 3.stats.part
rc 4 "$EDGELLM" calibrate -o nowhere/x.stats "$B" t.txt
is "$(find . -name '.*.tmp')" ""
