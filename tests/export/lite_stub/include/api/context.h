// A stand-in for MindSpore Lite's header of this name: what the runner uses, with the real names, values and signatures.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace mindspore {
enum DeviceType { kCPU = 0, kGPU, kKirinNPU, kAscend };

class DeviceInfoContext {
 public:
  virtual ~DeviceInfoContext() = default;
  virtual enum DeviceType GetDeviceType() const = 0;
};

class CPUDeviceInfo : public DeviceInfoContext {
 public:
  enum DeviceType GetDeviceType() const override { return DeviceType::kCPU; }
};

class AscendDeviceInfo : public DeviceInfoContext {
 public:
  enum DeviceType GetDeviceType() const override { return DeviceType::kAscend; }
  void SetDeviceID(uint32_t device_id);
  uint32_t GetDeviceID() const;

 private:
  uint32_t device_id_ = 0;
};

class Context {
 public:
  struct Data;
  Context();
  void SetThreadNum(int32_t thread_num);
  std::vector<std::shared_ptr<DeviceInfoContext>> &MutableDeviceInfo();

 private:
  std::shared_ptr<Data> data_;
};
}  // namespace mindspore
