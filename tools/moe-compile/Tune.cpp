//===- Tune.cpp - Chooses how work is cut by measuring --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// For each kernel, from what the model of the target chooses:
//
//   for member of the kernel's choices:
//     race with half of it and twice of it, until neither wins
//   race of the choices with the model's: without a win they are dropped
//
// In a race, variants are called in turns with the same numbers of tokens, so
// that what else the machine does hits all of them alike. What is compared are
// the medians of the ratios of neighbours.
//
//===----------------------------------------------------------------------===//

#include "Tune.h"

#include "Machine.h"
#include "SyntheticLayer.h"
#include "TargetFile.h"
#include "moe/CPU/Cost.h"
#include "moe/IR/Describe.h"

#include "Runtime/CpuFeatures.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"

#include <chrono>
#include <list>

using namespace mlir;
using namespace mlir::moe;
namespace json = llvm::json;

/// Tokens of the calls that are timed.
static constexpr int64_t kMostTokens = 1024,
                         kTokens[] = {1, 16, 256, kMostTokens};

/// Calls of each variant for one number of tokens.
static constexpr size_t kLeastRounds = 5, kMostRounds = 41;

/// A kernel matters if its weights are this share of the module's.
static constexpr double kLeastShare = 0.02;

/// What a difference must be, beside noise, to count.
static constexpr double kLeastGain = 0.01;

//===----------------------------------------------------------------------===//
// Races
//===----------------------------------------------------------------------===//

static double quantile(std::vector<double> values, double share) {
  llvm::sort(values);
  return values[static_cast<size_t>(share * (values.size() - 1) + 0.5)];
}

/// `1.031 +- 0.004`
static std::string printGain(double ratio, double noise) {
  return llvm::formatv("{0:f3} +- {1:f3}", ratio, noise).str();
}

namespace {

/// Seconds of the calls of one variant, for each of kTokens.
using Times = std::array<std::vector<double>, std::size(kTokens)>;

/// How much faster than another a variant is.
struct Gain {
  /// Ratios of times, a median for each of kTokens, with their errors.
  std::array<double, std::size(kTokens)> ratios, errors;

  Gain(const Times &base, const Times &times) {
    for (size_t i = 0; i < ratios.size(); ++i) {
      std::vector<double> pairs;
      for (auto [before, after] : llvm::zip_equal(base[i], times[i]))
        pairs.push_back(before / after);
      ratios[i] = quantile(pairs, 0.5);
      // Of a median of normal numbers: 1.25 deviations, which are 0.74 of the
      // distance of the quartiles, over the root of their number.
      errors[i] = 1.25 * 0.74 *
                  (quantile(pairs, 0.75) - quantile(pairs, 0.25)) /
                  std::sqrt(pairs.size());
    }
  }

  /// The geometric mean over numbers of tokens.
  double mean() const {
    double sum = 0;
    for (double ratio : ratios)
      sum += std::log(ratio);
    return std::exp(sum / ratios.size());
  }

  /// Twice its standard error.
  double noise() const {
    double sum = 0;
    for (double error : errors)
      sum += error * error;
    return 2 * std::sqrt(sum) / ratios.size();
  }

  /// Whether it is faster for some number of tokens, and slower for none, by
  /// more than noise.
  bool wins() const {
    bool isFaster = false;
    for (auto [ratio, error] : llvm::zip_equal(ratios, errors)) {
      double noise = 2 * error + kLeastGain;
      if (ratio < 1 - noise)
        return false;
      isFaster |= ratio > 1 + noise;
    }
    return isFaster && mean() > 1;
  }
};

} // namespace

/// Times calls of the variants of a layer, for about so many seconds.
static llvm::Expected<std::vector<Times>>
race(SyntheticLayer &layer, ArrayRef<Variant *> variants, double seconds) {
  using Clock = std::chrono::steady_clock;
  std::vector<Times> times(variants.size());
  std::chrono::duration<double> limit(seconds / std::size(kTokens));
  for (auto [i, count] : llvm::enumerate(kTokens)) {
    int64_t tokens = layer.scaleTokens(count);
    moe_tensor output = layer.getOutput(tokens);
    auto begin = Clock::now();
    // The first round faults pages in.
    for (size_t round = 0;
         round <= kLeastRounds ||
         (round <= kMostRounds && Clock::now() - begin < limit);
         ++round)
      for (size_t turn = 0; turn < variants.size(); ++turn) {
        size_t variant = (turn + round) % variants.size();
        llvm::Expected<double> time =
            variants[variant]->time(layer.nextInputs(tokens), output);
        if (!time)
          return time.takeError();
        if (round > 0)
          times[variant][i].push_back(*time);
      }
  }
  return times;
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

namespace {

/// What the kernel of a product depends on.
struct ProductKind {
  PackFormat format;
  Compute compute;
  /// Elements of the longest row, and bytes of the weights that share rows.
  int64_t longest, weightBytes;

  static ProductKind get(Operation *op);
};

} // namespace

ProductKind ProductKind::get(Operation *op) {
  auto bytes = [](Value value) {
    auto type = cast<ShapedType>(value.getType());
    return type.getNumElements() * type.getElementTypeBitWidth() / 8;
  };
  auto length = [](Value rows) {
    return cast<ShapedType>(rows.getType()).getDimSize(1);
  };
  if (auto ffn = dyn_cast<ExpertFfnOp>(op))
    return {*ffn.getPacked(), ffn.getCompute(),
            std::max<int64_t>(length(ffn.getX()), *ffn.getInner()),
            bytes(ffn.getWeights()[0])};
  auto matmul = cast<GroupedMatmulOp>(op);
  return {*matmul.getPacked(), matmul.getCompute(), length(matmul.getRows()),
          bytes(matmul.getWeights())};
}

namespace {

using Member = TargetMember<KernelChoices>;

/// Finds the choices for the kernel of one product.
class KernelTuner {
public:
  /// `op` is the product in the model; packages go to `folder`.
  KernelTuner(Operation *op, SyntheticLayer layer, const Machine &machine,
              StringRef folder, double seconds)
      : op(op), layer(std::move(layer)), machine(machine), folder(folder),
        seconds(seconds / (std::size(kKernelMembers) + 1)) {}

  /// Adds the kernel for the best of `levels`, and the machine as it was seen
  /// last, to `target`, and what was measured to `measured`.
  llvm::Error run(ArrayRef<std::string> levels, Target &target,
                  json::Object &measured);

private:
  llvm::Expected<Variant> compile(const KernelChoices &choices);
  /// Compiles what the model chooses for the best of `levels` that this CPU
  /// has.
  llvm::Error start(ArrayRef<std::string> levels);
  /// Looks for a better value of a member; whether there is one.
  llvm::Expected<bool> improve(const Member &member);
  /// Compares what was found with the model.
  llvm::Error confirm();

  Operation *op;
  SyntheticLayer layer;
  Machine machine;
  std::string folder;
  double seconds; ///< of a race
  std::string isa, kernel;
  /// What the model chooses, and what was found instead.
  KernelChoices model, found;
  /// The model's variant and then each winner, of which the last is the best.
  std::list<Variant> kept;
  Variant *best = nullptr;
  /// Values that a member has had.
  llvm::DenseSet<int64_t> seen;
  json::Array tried, calls;
  int64_t numVariants = 0;
};

} // namespace

llvm::Expected<Variant> KernelTuner::compile(const KernelChoices &choices) {
  Target target = {machine, {{kernel, choices}}};
  return Variant::create(layer.getModule(), isa, target,
                         folder + llvm::Twine(numVariants++),
                         layer.scaleTokens(kMostTokens));
}

llvm::Error KernelTuner::start(ArrayRef<std::string> levels) {
  auto kind = ProductKind::get(layer.getProduct());
  llvm::Error error = llvm::Error::success();
  for (StringRef level : llvm::reverse(levels)) {
    llvm::consumeError(std::move(error));
    isa = level;
    kernel = getKernelName(isa, kind.format, kind.compute);
    llvm::Expected<Variant> variant = compile({});
    if (variant) {
      kept.push_back(std::move(*variant));
      best = &kept.back();
      model = getModelChoices(machine, isa, kind.format, kind.compute,
                              kind.longest, kind.weightBytes);
      return llvm::Error::success();
    }
    error = variant.takeError();
  }
  return error;
}

llvm::Expected<bool> KernelTuner::improve(const Member &member) {
  int64_t now =
      found.*(member.value) ? found.*(member.value) : model.*(member.value);
  std::list<Variant> others;
  SmallVector<int64_t> values;
  seen.insert(now);
  for (int64_t value : {now / 2, now * 2}) {
    KernelChoices choices = found;
    choices.*(member.value) = value / member.multiple * member.multiple;
    if (choices.*(member.value) == 0 ||
        !seen.insert(choices.*(member.value)).second)
      continue;
    llvm::Expected<Variant> other = compile(choices);
    if (!other)
      return other.takeError();
    if (other->isSameCode(*best))
      continue;
    others.push_back(std::move(*other));
    values.push_back(choices.*(member.value));
  }
  if (values.empty())
    return false;
  SmallVector<Variant *> variants = {best};
  for (Variant &other : others)
    variants.push_back(&other);
  llvm::Expected<std::vector<Times>> times = race(layer, variants, seconds);
  if (!times)
    return times.takeError();

  llvm::errs() << "  " << member.name << " " << now << ":";
  double bestMean = 0;
  auto winner = others.end(), other = others.begin();
  for (auto [value, own] : llvm::zip_equal(values, llvm::drop_begin(*times))) {
    Gain gain(times->front(), own);
    std::string text = printGain(gain.mean(), gain.noise());
    llvm::errs() << "  " << value << " " << text;
    tried.push_back(json::Object{
        {"member", member.name}, {"from", now}, {"to", value}, {"gain", text}});
    if (gain.wins() && gain.mean() > bestMean) {
      bestMean = gain.mean();
      found.*(member.value) = value;
      winner = other;
    }
    ++other;
  }
  llvm::errs() << (bestMean ? "  wins\n" : "\n");
  if (!bestMean)
    return false;
  kept.splice(kept.end(), others, winner);
  best = &kept.back();
  return true;
}

llvm::Error KernelTuner::confirm() {
  llvm::Expected<std::vector<Times>> times =
      race(layer, {&kept.front(), best}, seconds);
  if (!times)
    return times.takeError();
  Gain gain(times->front(), times->back());
  bool wins = best != &kept.front() && gain.wins();
  if (!wins)
    found = KernelChoices();
  llvm::errs() << "  in all: " << printGain(gain.mean(), gain.noise())
               << (wins ? "\n" : ", so nothing changes\n");
  for (size_t i = 0; i < std::size(kTokens); ++i)
    calls.push_back(json::Object{
        {"tokens", layer.scaleTokens(kTokens[i])},
        {"microseconds", std::llround(quantile(times->front()[i], 0.5) * 1e6)},
        {"gain", printGain(gain.ratios[i], 2 * gain.errors[i])}});
  auto kind = ProductKind::get(layer.getProduct());
  remeasure(machine);
  found.operations = solveOperations(
      machine, isa, kind.format, kind.compute,
      getCost(layer.getProduct(), layer.scaleTokens(kMostTokens)),
      ::moe::runtime::availableCpus(),
      quantile((wins ? times->back() : times->front()).back(), 0.5));
  return llvm::Error::success();
}

llvm::Error KernelTuner::run(ArrayRef<std::string> levels, Target &target,
                             json::Object &measured) {
  if (llvm::Error error = start(levels))
    return error;
  llvm::errs() << kernel << ", " << describe(op) << "\n";
  for (const Member &member : kKernelMembers) {
    seen.clear();
    bool isBetter = member.value != &KernelChoices::operations;
    while (isBetter) {
      llvm::Expected<bool> improved = improve(member);
      if (!improved)
        return improved.takeError();
      isBetter = *improved;
    }
  }
  if (llvm::Error error = confirm())
    return error;
  target.machine = machine;
  if (llvm::any_of(kKernelMembers,
                   [&](const Member &member) { return found.*(member.value); }))
    target.kernels[kernel] = found;
  json::Object choices;
  for (const Member &member : kKernelMembers)
    choices[member.name] = model.*(member.value);
  measured[kernel] = json::Object{{"product", describe(op)},
                                  {"model", std::move(choices)},
                                  {"tried", std::move(tried)},
                                  {"calls", std::move(calls)}};
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Modules
//===----------------------------------------------------------------------===//

/// The product with the most weights for each kind of kernel that matters.
static SmallVector<Operation *> findHeaviest(ModuleOp module) {
  struct Heaviest {
    Operation *op = nullptr;
    int64_t bytes = 0;
  };
  llvm::MapVector<std::pair<PackFormat, Compute>, Heaviest> kinds;
  int64_t all = 0;
  module.walk([&](Operation *op) {
    if (!SyntheticLayer::canTime(op))
      return;
    auto kind = ProductKind::get(op);
    Heaviest &heaviest = kinds[{kind.format, kind.compute}];
    all += kind.weightBytes;
    if (kind.weightBytes > heaviest.bytes)
      heaviest = {op, kind.weightBytes};
  });
  SmallVector<Operation *> ops;
  for (auto &[kind, heaviest] : kinds)
    if (heaviest.bytes >= kLeastShare * all)
      ops.push_back(heaviest.op);
  return ops;
}

llvm::Expected<std::string>
mlir::moe::tune(ModuleOp fused, const CompileOptions &options, double seconds) {
  SmallVector<Operation *> ops = findHeaviest(fused);
  if (ops.empty())
    return llvm::createStringError(
        "expected a module with packed products to tune for");
  Target target = {measureMachine(), {}};
  for (const TargetMember<Machine> &member : kMachineMembers)
    llvm::errs() << member.name << " " << target.machine.*(member.value)
                 << "\n";
  SmallString<128> folder;
  if (std::error_code error =
          llvm::sys::fs::createUniqueDirectory("moe-tune", folder))
    return llvm::createStringError(error, "expected a temporary folder");
  llvm::scope_exit cleanUp([&] { llvm::sys::fs::remove_directories(folder); });
  json::Object measured;
  for (auto [i, op] : llvm::enumerate(ops)) {
    llvm::Expected<SyntheticLayer> layer =
        SyntheticLayer::create(op, kMostTokens);
    if (!layer)
      return layer.takeError();
    KernelTuner tuner(op, std::move(*layer), target.machine,
                      (folder + "/" + llvm::Twine(i) + ".").str(),
                      seconds / ops.size());
    if (llvm::Error error = tuner.run(getLevels(options), target, measured))
      return error;
  }
  return printTarget(target, std::move(measured));
}
