// A library with MindSpore Lite's names and no device behind it, for tests of the runner.
//
// A "MindIR" is a line `<batch> <samples> <sources> [<mode>]`. Estimate c of a chunk x is (c + 1) x, plus 100 times the
// device's number. Modes: `build` and `predict` fail there, `third` at the third prediction (the runner's own trial run is
// the first), `float16` has such an input, `turned` an output of the wrong shape, `two` two inputs, `empty` no output data.

#include <fstream>

#include "include/api/model.h"

namespace mindspore {

Status::Status() : code_(kSuccess) {}
Status::Status(enum StatusCode status_code, const std::string &status_msg) : code_(status_code), message_(status_msg) {}
enum StatusCode Status::StatusCode() const { return code_; }
std::string Status::ToString() const { return message_; }
bool Status::IsOk() const { return code_ == kSuccess; }
bool Status::IsError() const { return code_ != kSuccess; }
bool Status::operator==(enum StatusCode other_code) const { return code_ == other_code; }
bool Status::operator!=(enum StatusCode other_code) const { return code_ != other_code; }

class MSTensor::Impl {
 public:
  std::string name;
  enum DataType type = DataType::kNumberTypeFloat32;
  std::vector<int64_t> shape;
  std::shared_ptr<std::vector<float>> values;
};

MSTensor::MSTensor() = default;
MSTensor::MSTensor(const std::shared_ptr<Impl> &impl) : impl_(impl) {}
MSTensor::~MSTensor() = default;
std::string MSTensor::Name() const { return impl_->name; }
enum DataType MSTensor::DataType() const { return impl_->type; }
const std::vector<int64_t> &MSTensor::Shape() const { return impl_->shape; }
int64_t MSTensor::ElementNum() const { return static_cast<int64_t>(impl_->values->size()); }
std::shared_ptr<const void> MSTensor::Data() const {
  if (!impl_->values) return nullptr;
  return {impl_->values, impl_->values->data()};
}
void *MSTensor::MutableData() { return impl_->values->data(); }
size_t MSTensor::DataSize() const { return impl_->values ? impl_->values->size() * sizeof(float) : 0; }

struct Context::Data {
  std::vector<std::shared_ptr<DeviceInfoContext>> devices;
};
Context::Context() : data_(std::make_shared<Data>()) {}
void Context::SetThreadNum(int32_t) {}
std::vector<std::shared_ptr<DeviceInfoContext>> &Context::MutableDeviceInfo() { return data_->devices; }
void AscendDeviceInfo::SetDeviceID(uint32_t device_id) { device_id_ = device_id; }
uint32_t AscendDeviceInfo::GetDeviceID() const { return device_id_; }

class ModelImpl {
 public:
  int64_t batch = 0, samples = 0, sources = 0;
  std::string mode;
  float offset = 0;
  int predictions = 0;
  std::vector<MSTensor> inputs;
};

namespace {
MSTensor NewTensor(const std::string &name, const std::vector<int64_t> &shape) {
  auto impl = std::make_shared<MSTensor::Impl>();
  impl->name = name;
  impl->shape = shape;
  size_t size = 1;
  for (int64_t dimension : shape) size *= static_cast<size_t>(dimension);
  impl->values = std::make_shared<std::vector<float>>(size);
  return MSTensor(impl);
}

MSTensor BadTensor(enum DataType type, const std::vector<int64_t> &shape) {
  auto impl = std::make_shared<MSTensor::Impl>();
  impl->type = type;
  impl->shape = shape;
  return MSTensor(impl);
}
}  // namespace

Model::Model() : impl_(std::make_shared<ModelImpl>()) {}
Model::~Model() = default;

Status Model::Build(const std::string &model_path, ModelType model_type, const std::shared_ptr<Context> &model_context) {
  std::ifstream file(model_path);
  if (model_type != kMindIR || !(file >> impl_->batch >> impl_->samples >> impl_->sources)) {
    return Status(kLiteError, "not a model");
  }
  file >> impl_->mode;
  const auto device = model_context->MutableDeviceInfo().at(0);
  if (impl_->mode == "build") return Status(kMCDeviceError, "no such card");
  if (device->GetDeviceType() == kAscend) {
    impl_->offset = 100.0f * static_cast<float>(std::static_pointer_cast<AscendDeviceInfo>(device)->GetDeviceID());
  }
  if (impl_->mode == "float16") {
    impl_->inputs = {BadTensor(DataType::kNumberTypeFloat16, {impl_->batch, impl_->samples})};
  } else {
    impl_->inputs = {NewTensor("mixture", {impl_->batch, impl_->samples})};
  }
  if (impl_->mode == "two") impl_->inputs.push_back(impl_->inputs[0]);
  return Status();
}

std::vector<MSTensor> Model::GetInputs() { return impl_->inputs; }
std::vector<MSTensor> Model::GetOutputs() { return {}; }

Status Model::Predict(const std::vector<MSTensor> &inputs, std::vector<MSTensor> *outputs, const MSKernelCallBack &,
                      const MSKernelCallBack &) {
  ++impl_->predictions;
  if (impl_->mode == "predict" || (impl_->mode == "third" && impl_->predictions == 3)) {
    return Status(kMCDeviceError, "the device\ndoes not answer");
  }
  const std::vector<int64_t> shape = {impl_->batch, impl_->sources, impl_->samples};
  if (impl_->mode == "empty") {
    *outputs = {BadTensor(DataType::kNumberTypeFloat32, shape)};
    return Status();
  }
  const auto data = inputs.at(0).Data();
  const float *chunks = static_cast<const float *>(data.get());
  MSTensor output = NewTensor("estimates", shape);
  float *estimates = static_cast<float *>(output.MutableData());
  for (int64_t b = 0; b < impl_->batch; ++b) {
    for (int64_t c = 0; c < impl_->sources; ++c) {
      for (int64_t t = 0; t < impl_->samples; ++t) {
        *estimates++ = static_cast<float>(c + 1) * chunks[b * impl_->samples + t] + impl_->offset;
      }
    }
  }
  if (impl_->mode == "turned") output = NewTensor("estimates", {impl_->batch, impl_->samples, impl_->sources});
  *outputs = {output};
  return Status();
}

}  // namespace mindspore
