// A copy of the demo checkpoint that a test may damage.
#pragma once

#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "support/mach_program.h"
#include "support/temp_dir.h"

namespace mach::testing {

class CheckpointCopy {
 public:
  CheckpointCopy() {
    for (const char* name : {"config.json", "generation_config.json", "tokenizer.json",
                             "tokenizer_config.json", "chat_template.jinja", "model.safetensors"}) {
      std::filesystem::copy_file(demo_model() / name, folder_.path() / name);
    }
  }

  std::string path() const { return folder_.path().string(); }
  std::string read(std::string_view name) const { return read_file(folder_.path() / name); }
  void write(std::string_view name, std::string_view content) const { folder_.write(name, content); }
  void remove(std::string_view name) const { std::filesystem::remove(folder_.path() / name); }

  void edit_json(std::string_view name, const std::function<void(nlohmann::json&)>& edit) const {
    nlohmann::json root = nlohmann::json::parse(read(name));
    edit(root);
    write(name, root.dump());
  }

  // Rewrites the header of model.safetensors; the tensor bytes stay as they are.
  void edit_header(const std::function<void(nlohmann::json&)>& edit) const {
    const std::string file = read("model.safetensors");
    uint64_t length = 0;
    std::memcpy(&length, file.data(), sizeof length);
    nlohmann::json header = nlohmann::json::parse(file.substr(8, length));
    edit(header);
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const uint64_t new_length = text.size();
    std::string start(8, '\0');
    std::memcpy(start.data(), &new_length, sizeof new_length);
    write("model.safetensors", start + text + file.substr(8 + length));
  }

 private:
  TempDir folder_;
};

}  // namespace mach::testing
