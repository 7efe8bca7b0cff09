// A stand-in for MindSpore Lite's header of this name: what the runner uses, with the real names, values and signatures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "include/api/data_type.h"

namespace mindspore {
enum ModelType : uint32_t { kMindIR = 0, kMindIR_Lite = 4, kUnknownType = 0xFFFFFFFF };

class MSTensor {
 public:
  class Impl;
  MSTensor();
  explicit MSTensor(const std::shared_ptr<Impl> &impl);
  ~MSTensor();
  std::string Name() const;
  enum DataType DataType() const;
  const std::vector<int64_t> &Shape() const;
  int64_t ElementNum() const;
  std::shared_ptr<const void> Data() const;
  void *MutableData();
  size_t DataSize() const;

 private:
  std::shared_ptr<Impl> impl_;
};
}  // namespace mindspore
