/* The text of calibration.txt, as it is. */
#include "cmd/calibrate_text.h"

__asm__(".section .rodata\n"
        ".global calibration_text\n"
        ".global calibration_text_end\n"
        "calibration_text:\n"
        ".incbin \"cmd/calibration.txt\"\n"
        "calibration_text_end:\n"
        ".byte 0\n"
        ".previous\n");
