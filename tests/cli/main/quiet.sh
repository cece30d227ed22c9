el quantize -q "$M" o.gguf Q8_0
empty err
empty out
rm o.gguf
el quantize --quiet "$M" o.gguf Q8_0
empty err
rm o.gguf
el quantize "$M" o.gguf Q8_0
has err 'bits per weight'
