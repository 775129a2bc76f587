// Buffers that are filled and emptied again and again.
//
// Left out: who fills them. Thread safety: that of the buffer. Fork and signal safety: none (it may allocate).
//
//     base::clear_burst(events);      // empty, and no larger than usual days need
#pragma once

#include <cstddef>

namespace perdure::base {

/// Empties `buffer`; one that a burst has made larger than `keep` elements gives its memory back.
template <class Buffer>
void clear_burst(Buffer& buffer, std::size_t keep = 64) {
  buffer.clear();
  if (buffer.capacity() > keep) Buffer{}.swap(buffer);
}

}  // namespace perdure::base
