// Runs a MindIR on the chunks that preprocessing wrote, with MindSpore Lite, and times every utterance.
//
//   infer_310 --model M.mindir --inputs DIR --outputs DIR [--device ascend|cpu] [--device_id N]
//
// DIR/inputs.txt lists the chunks, docs/contracts.md describes it; DIR/<file> holds an utterance's chunks one after the
// other. For each utterance a file of the same name is written to the outputs, and outputs.txt last of all: when it is
// there, the outputs are whole. Exit status: 0 done, 1 the device or the model failed, 2 wrong input or use.

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#if __has_include("include/api/model.h")
#include "include/api/context.h"
#include "include/api/model.h"
#include "include/api/status.h"
#include "include/api/types.h"
#else  // the folder's name in MindSpore Lite's newest packages
#include "include/cxx_api/context.h"
#include "include/cxx_api/model.h"
#include "include/cxx_api/status.h"
#include "include/cxx_api/types.h"
#endif

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

namespace {

// The user's mistake; anything else that is thrown is a failure of the device, the model or the machine.
struct WrongInput : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Options {
  fs::path model, inputs, outputs;
  std::string device = "ascend";
  std::uint32_t device_id = 0;
};

// An utterance of inputs.txt; seconds are filled in by inference.
struct Utterance {
  std::string key, file;
  std::uint64_t num_samples = 0, chunks = 0;
  double seconds = 0;
};

// What inputs.txt says of every chunk: its samples' type and number, and the sources to expect of it.
struct Layout {
  std::string type;
  std::int64_t samples = 0, sources = 0;
};

using Shape = std::vector<std::int64_t>;

constexpr int kFormat = 1;

constexpr char kUsage[] =
  R"(usage: infer_310 --model M.mindir --inputs DIR --outputs DIR [--device ascend|cpu] [--device_id N]

Runs a MindIR on the chunks that DIR/inputs.txt lists, with MindSpore Lite.

  --model      the graph, or what was converted from it
  --inputs     the folder that preprocessing wrote
  --outputs    the folder for the estimates; outputs.txt in it is written last
  --device     ascend (default) or cpu
  --device_id  the card (0)

Exit status: 0 done, 1 the device or the model failed, 2 wrong input or use.
)";

std::string TypeName(mindspore::DataType type) {
  switch (type) {
    case mindspore::DataType::kNumberTypeFloat32:
      return "float32";
    case mindspore::DataType::kNumberTypeFloat16:
      return "float16";
    default:
      return "type " + std::to_string(static_cast<int>(type));
  }
}

std::size_t SizeOf(const std::string &type) {
  if (type == "float32") return 4;
  if (type == "float16") return 2;
  throw WrongInput("samples of " + type + ": float32 or float16 is expected");
}

std::string Text(const Shape &shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

std::uint32_t ParseDeviceId(const std::string &text) {
  if (text.empty() || text.size() > 4 || text.find_first_not_of("0123456789") != std::string::npos) {
    throw WrongInput("--device_id " + text + ": a number from 0 to 9999 is expected");
  }
  return static_cast<std::uint32_t>(std::stoul(text));
}

Options ParseOptions(const std::vector<std::string> &words) {
  std::map<std::string, std::string> given;
  for (std::size_t i = 0; i < words.size(); i += 2) {
    if (words[i].rfind("--", 0) != 0) throw WrongInput("unexpected argument '" + words[i] + "'");
    if (i + 1 == words.size()) throw WrongInput(words[i] + " needs a value");
    given[words[i].substr(2)] = words[i + 1];
  }
  Options options;
  for (const auto &[name, value] : given) {
    if (name == "model") {
      options.model = value;
    } else if (name == "inputs") {
      options.inputs = value;
    } else if (name == "outputs") {
      options.outputs = value;
    } else if (name == "device") {
      options.device = value;
    } else if (name == "device_id") {
      options.device_id = ParseDeviceId(value);
    } else {
      throw WrongInput("unknown option --" + name);
    }
  }
  if (options.model.empty() || options.inputs.empty() || options.outputs.empty()) {
    throw WrongInput("--model, --inputs and --outputs are needed");
  }
  if (options.device != "ascend" && options.device != "cpu") {
    throw WrongInput("--device " + options.device + ": ascend or cpu is expected");
  }
  return options;
}

// Reads inputs.txt and checks that every file it lists has the size it must have.
std::vector<Utterance> ReadInputs(const fs::path &folder, Layout *layout) {
  const fs::path path = folder / "inputs.txt";
  std::ifstream list(path);
  if (!list) throw WrongInput(path.string() + ": no such file; preprocessing makes it");
  std::string kind;
  int format = 0;
  if (!(list >> kind >> format >> layout->type >> layout->samples >> layout->sources) || kind != "inputs" ||
      format != kFormat || layout->samples < 1 || layout->sources < 1) {
    throw WrongInput(path.string() + ":1: 'inputs 1 <type> <samples> <sources>' is expected");
  }
  const std::uint64_t chunk_bytes = static_cast<std::uint64_t>(layout->samples) * SizeOf(layout->type);
  std::vector<Utterance> utterances;
  std::string line;
  std::getline(list, line);
  while (std::getline(list, line)) {
    Utterance utterance;
    std::istringstream words(line);
    if (!(words >> utterance.key >> utterance.file >> utterance.num_samples >> utterance.chunks) ||
        utterance.chunks == 0 || fs::path(utterance.file).filename() != utterance.file) {
      throw WrongInput(path.string() + ": '" + line + "': '<key> <file> <samples> <chunks>' is expected");
    }
    std::error_code error;
    const std::uint64_t size = fs::file_size(folder / utterance.file, error);
    if (error) throw WrongInput((folder / utterance.file).string() + " of " + utterance.key + ": " + error.message());
    if (size % chunk_bytes != 0 || size / chunk_bytes != utterance.chunks) {
      throw WrongInput((folder / utterance.file).string() + " of " + utterance.key + ": has " + std::to_string(size) +
                       " bytes; " + std::to_string(utterance.chunks) + " chunks of " + std::to_string(chunk_bytes) +
                       " bytes are expected");
    }
    utterances.push_back(std::move(utterance));
  }
  if (utterances.empty()) throw WrongInput(path.string() + ": lists no utterance");
  return utterances;
}

// A file that gets its final name when it is whole; one that was not finished is removed.
class WholeFile {
 public:
  explicit WholeFile(const fs::path &path)
      : path_(path), temporary_(path.parent_path() / (".tmp." + path.filename().string())) {
    stream_.open(temporary_, std::ios::binary | std::ios::trunc);
    if (!stream_) throw WrongInput(temporary_.string() + ": cannot be written: " + std::strerror(errno));
  }
  WholeFile(const WholeFile &) = delete;
  WholeFile &operator=(const WholeFile &) = delete;
  ~WholeFile() {
    std::error_code ignored;
    if (!finished_) fs::remove(temporary_, ignored);
  }
  std::ofstream &stream() { return stream_; }
  void Finish() {
    stream_.close();
    if (!stream_) throw std::runtime_error(temporary_.string() + ": writing failed: " + std::strerror(errno));
    fs::rename(temporary_, path_);
    finished_ = true;
  }

 private:
  fs::path path_, temporary_;
  std::ofstream stream_;
  bool finished_ = false;
};

// Makes the folder of the outputs, proves that it can be written, and takes away the sign that outputs are whole.
void PrepareOutputs(const fs::path &folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw WrongInput(folder.string() + ": cannot be made a folder: " + error.message());
  { WholeFile probe(folder / "outputs.txt"); }
  fs::remove(folder / "outputs.txt", error);
  if (error) throw WrongInput((folder / "outputs.txt").string() + ": cannot be removed: " + error.message());
}

// A built model whose one input is [batch, samples] and whose one output is [batch, sources, samples].
class Network {
 public:
  Network(const Options &options, const Layout &layout) {
    auto context = std::make_shared<mindspore::Context>();
    if (options.device == "ascend") {
      auto ascend = std::make_shared<mindspore::AscendDeviceInfo>();
      ascend->SetDeviceID(options.device_id);
      context->MutableDeviceInfo().push_back(ascend);
    } else {
      context->SetThreadNum(1);  // with more, Lite 2.0 leaves part of what a LayerNorm of few values gives unwritten
      context->MutableDeviceInfo().push_back(std::make_shared<mindspore::CPUDeviceInfo>());
    }
    Require(model_.Build(options.model.string(), mindspore::kMindIR, context), "building " + options.model.string());
    const auto inputs = model_.GetInputs();
    if (inputs.size() != 1) throw WrongInput(Named(options, "inputs", inputs.size()));
    const Shape shape = inputs[0].Shape();
    if (shape.size() != 2 || shape[0] < 1 || shape[1] != layout.samples || TypeName(inputs[0].DataType()) != layout.type) {
      throw WrongInput(options.model.string() + ": its input is " + TypeName(inputs[0].DataType()) + " " + Text(shape) +
                       "; the chunks are " + layout.type + " [batch, " + std::to_string(layout.samples) + "]");
    }
    batch_ = static_cast<std::size_t>(shape[0]);
    chunk_bytes_ = static_cast<std::size_t>(layout.samples) * SizeOf(layout.type);
    expected_ = {shape[0], layout.sources, layout.samples};
  }

  std::size_t batch() const { return batch_; }
  std::size_t chunk_bytes() const { return chunk_bytes_; }
  std::size_t estimate_bytes() const { return estimate_bytes_; }
  const std::string &output_type() const { return output_type_; }

  // Gives the estimates of a batch of chunks; the batch is full.
  std::vector<char> Run(const std::vector<char> &chunks) {
    auto inputs = model_.GetInputs();
    void *data = inputs[0].MutableData();
    if (data == nullptr || inputs[0].DataSize() != chunks.size()) {
      throw std::runtime_error("the model's input has " + std::to_string(inputs[0].DataSize()) + " bytes; " +
                               std::to_string(chunks.size()) + " are expected");
    }
    std::memcpy(data, chunks.data(), chunks.size());
    std::vector<mindspore::MSTensor> outputs;
    Require(model_.Predict(inputs, &outputs), "inference");
    if (outputs.size() != 1) throw std::runtime_error("the model has " + std::to_string(outputs.size()) + " outputs");
    const mindspore::MSTensor &output = outputs[0];
    output_type_ = TypeName(output.DataType());
    if (output.Shape() != expected_ || (output_type_ != "float32" && output_type_ != "float16")) {
      throw WrongInput("the model's output is " + output_type_ + " " + Text(output.Shape()) + "; float32 or float16 " +
                       Text(expected_) + " is expected");
    }
    estimate_bytes_ = static_cast<std::size_t>(expected_[1] * expected_[2]) * SizeOf(output_type_);
    const auto values = output.Data();
    if (values == nullptr || output.DataSize() != batch_ * estimate_bytes_) {
      throw std::runtime_error("the model's output has " + std::to_string(output.DataSize()) + " bytes; " +
                               std::to_string(batch_ * estimate_bytes_) + " are expected");
    }
    const char *first = static_cast<const char *>(values.get());
    return {first, first + output.DataSize()};
  }

 private:
  static void Require(const mindspore::Status &status, const std::string &what) {
    if (status.IsError()) throw std::runtime_error(what + " failed: " + status.ToString());
  }
  static std::string Named(const Options &options, const std::string &what, std::size_t count) {
    return options.model.string() + ": has " + std::to_string(count) + " " + what + "; one is expected";
  }

  mindspore::Model model_;
  std::size_t batch_ = 0, chunk_bytes_ = 0, estimate_bytes_ = 0;
  std::string output_type_;
  Shape expected_;
};

// Gathers chunks of successive utterances into full batches; each utterance's file is written with its last chunk.
class Inference {
 public:
  Inference(Network *network, const Options &options)
      : network_(network), options_(options), batch_(network->batch() * network->chunk_bytes()) {}

  void Add(Utterance *utterance) {
    const fs::path path = options_.inputs / utterance->file;
    std::ifstream input(path, std::ios::binary);
    for (std::uint64_t chunk = 0; chunk < utterance->chunks; ++chunk) {
      char *place = batch_.data() + owners_.size() * network_->chunk_bytes();
      if (!input.read(place, static_cast<std::streamsize>(network_->chunk_bytes()))) {
        throw WrongInput(path.string() + " of " + utterance->key + ": cannot be read to its end");
      }
      owners_.push_back(utterance);
      if (owners_.size() == network_->batch()) Flush();
    }
  }

  // Runs what has been gathered; an incomplete batch is filled up with silence.
  void Flush() {
    if (owners_.empty()) return;
    std::fill(batch_.begin() + static_cast<std::ptrdiff_t>(owners_.size() * network_->chunk_bytes()), batch_.end(), '\0');
    const auto started = Clock::now();
    const std::vector<char> estimates = network_->Run(batch_);
    const double seconds = std::chrono::duration<double>(Clock::now() - started).count();
    for (std::size_t i = 0; i < owners_.size(); ++i) {
      Store(owners_[i], estimates.data() + i * network_->estimate_bytes());
      owners_[i]->seconds += seconds / static_cast<double>(owners_.size());
    }
    owners_.clear();
  }

 private:
  void Store(const Utterance *utterance, const char *estimate) {
    if (!file_) file_ = std::make_unique<WholeFile>(options_.outputs / utterance->file);
    file_->stream().write(estimate, static_cast<std::streamsize>(network_->estimate_bytes()));
    if (++stored_ < utterance->chunks) return;
    file_->Finish();
    file_.reset();
    stored_ = 0;
  }

  Network *network_;
  const Options &options_;
  std::vector<char> batch_;
  std::vector<Utterance *> owners_;  // of each chunk in the batch
  std::unique_ptr<WholeFile> file_;
  std::uint64_t stored_ = 0;
};

void WriteList(const fs::path &folder, const Network &network, const Layout &layout,
               const std::vector<Utterance> &utterances) {
  WholeFile list(folder / "outputs.txt");
  list.stream() << "outputs " << kFormat << ' ' << network.output_type() << ' ' << layout.samples << ' '
                << layout.sources << '\n'
                << std::fixed << std::setprecision(6);
  for (const Utterance &utterance : utterances) {
    list.stream() << utterance.key << ' ' << utterance.file << ' ' << utterance.num_samples << ' ' << utterance.chunks
                  << ' ' << utterance.seconds << '\n';
  }
  list.Finish();
}

void Main(const Options &options) {
  Layout layout;
  std::vector<Utterance> utterances = ReadInputs(options.inputs, &layout);
  if (!fs::is_regular_file(options.model)) throw WrongInput(options.model.string() + ": no such model");
  PrepareOutputs(options.outputs);
  const auto started = Clock::now();
  Network network(options, layout);
  // The first run of a graph is slower than the others and would count as its utterance's time.
  network.Run(std::vector<char>(network.batch() * network.chunk_bytes()));
  const std::chrono::duration<double> loading = Clock::now() - started;
  Inference inference(&network, options);
  for (Utterance &utterance : utterances) inference.Add(&utterance);
  inference.Flush();
  WriteList(options.outputs, network, layout, utterances);
  double seconds = 0;
  std::uint64_t chunks = 0;
  for (const Utterance &utterance : utterances) {
    seconds += utterance.seconds;
    chunks += utterance.chunks;
  }
  std::cout << utterances.size() << " utterances, " << chunks << " chunks in batches of " << network.batch() << ": "
            << std::fixed << std::setprecision(2) << seconds << " s; loading took " << loading.count() << " s\n";
}

}  // namespace

int main(int argc, char **argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  int status = 1;
  std::string message;
  try {
    if (std::find(words.begin(), words.end(), "--help") != words.end()) {
      std::cout << kUsage;
      return 0;
    }
    Main(ParseOptions(words));
    return 0;
  } catch (const WrongInput &error) {
    status = 2;
    message = error.what();
  } catch (const std::exception &error) {
    message = error.what();
  }
  std::replace(message.begin(), message.end(), '\n', ' ');
  std::cerr << "infer_310: error: " << message << '\n';
  return status;
}
