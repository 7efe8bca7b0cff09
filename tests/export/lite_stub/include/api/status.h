// A stand-in for MindSpore Lite's header of this name: what the runner uses, with the real names, values and signatures.
#pragma once

#include <cstdint>
#include <string>

namespace mindspore {
enum StatusCode : uint32_t { kSuccess = 0, kMCDeviceError = 0x30000002u, kLiteError = 0xFFFFFFFFu };

class Status {
 public:
  Status();
  Status(enum StatusCode status_code, const std::string &status_msg = "");
  enum StatusCode StatusCode() const;
  std::string ToString() const;
  bool IsOk() const;
  bool IsError() const;
  bool operator==(enum StatusCode other_code) const;
  bool operator!=(enum StatusCode other_code) const;

 private:
  enum StatusCode code_;
  std::string message_;
};
}  // namespace mindspore
