// A stand-in for MindSpore Lite's header of this name: what the runner uses, with the real names, values and signatures.
#pragma once

namespace mindspore {
enum class DataType : int {
  kTypeUnknown = 0,
  kNumberTypeInt32 = 34,
  kNumberTypeFloat16 = 42,
  kNumberTypeFloat32 = 43,
};
}  // namespace mindspore
