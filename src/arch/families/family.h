// The five families, one file each: what its config.json means and which parameters follow. Called through the rows of
// arch/registry.h only.
#pragma once

#include "arch/config_reader.h"
#include "arch/model_config.h"
#include "arch/parameters.h"

namespace mach {

void parse_qwen3_moe(const ConfigReader& text, const ConfigReader& root, ModelConfig& out);
void parse_qwen3_5_moe(const ConfigReader& text, const ConfigReader& root, ModelConfig& out);
void parse_gpt_oss(const ConfigReader& text, const ConfigReader& root, ModelConfig& out);
void parse_gemma4(const ConfigReader& text, const ConfigReader& root, ModelConfig& out);
void parse_deepseek_v4(const ConfigReader& text, const ConfigReader& root, ModelConfig& out);

ParameterList qwen3_moe_parameters(const ModelConfig& config);
ParameterList qwen3_5_moe_parameters(const ModelConfig& config);
ParameterList gpt_oss_parameters(const ModelConfig& config);
ParameterList gemma4_parameters(const ModelConfig& config);
ParameterList deepseek_v4_parameters(const ModelConfig& config);

ParameterList qwen3_5_moe_mtp_parameters(const ModelConfig& config);
ParameterList deepseek_v4_mtp_parameters(const ModelConfig& config);

}  // namespace mach
