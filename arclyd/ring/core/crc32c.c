#include "ring.h"

/* One bit at a time would do; a table of 256 does it bytewise, and SSE4.2 has an instruction for just this
 * polynomial. The table is a function of its index, so it is computed where it is used. */
static uint32_t bytewise(uint32_t crc, const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (UINT32_C(0x82f63b78) & -(crc & 1));
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t wordwise(uint32_t crc, const uint8_t *data, size_t size) {
    uint64_t wide = crc;
    for (; size >= 8; size -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    return bytewise((uint32_t)wide, data, size);
}

uint32_t arcly_crc32c(uint32_t crc, const void *data, size_t size) {
    return ~(__builtin_cpu_supports("sse4.2") ? wordwise(~crc, data, size) : bytewise(~crc, data, size));
}
#else
uint32_t arcly_crc32c(uint32_t crc, const void *data, size_t size) {
    return ~bytewise(~crc, data, size);
}
#endif
