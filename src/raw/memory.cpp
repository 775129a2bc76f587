// What the compiler calls behind our back in a program without a C library.
#include <cstddef>

extern "C" {

void* memcpy(void* to, const void* from, std::size_t size) {
#if defined(__x86_64__)
  void* target = to;
  __asm__ volatile("rep movsb" : "+D"(target), "+S"(from), "+c"(size) : : "memory");
#else
  auto* target = static_cast<unsigned char*>(to);
  const auto* source = static_cast<const unsigned char*>(from);
  for (std::size_t i = 0; i < size; ++i) {
    target[i] = source[i];
    __asm__ volatile("" ::: "memory");  // or this loop becomes a call of memcpy
  }
#endif
  return to;
}

void* memset(void* to, int value, std::size_t size) {
#if defined(__x86_64__)
  void* target = to;
  __asm__ volatile("rep stosb" : "+D"(target), "+c"(size) : "a"(value) : "memory");
#else
  auto* target = static_cast<unsigned char*>(to);
  for (std::size_t i = 0; i < size; ++i) {
    target[i] = static_cast<unsigned char>(value);
    __asm__ volatile("" ::: "memory");
  }
#endif
  return to;
}

int memcmp(const void* a, const void* b, std::size_t size) {
  const auto* left = static_cast<const unsigned char*>(a);
  const auto* right = static_cast<const unsigned char*>(b);
  for (std::size_t i = 0; i < size; ++i) {
    if (left[i] != right[i]) return left[i] < right[i] ? -1 : 1;
  }
  return 0;
}

}  // extern "C"
