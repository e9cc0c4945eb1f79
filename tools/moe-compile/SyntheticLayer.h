//===- SyntheticLayer.h - A product alone, with random numbers --*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a packed product of a model takes does not depend on the numbers in it.
// So one can be timed without the model's weights: a *layer* is a module with
// the product as its one function, whose arguments are random; a *variant* is
// the layer compiled in one way, opened and ready to be called.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_COMPILE_SYNTHETICLAYER_H
#define MOE_COMPILE_SYNTHETICLAYER_H

#include "moe-runtime/moe.h"
#include "moe/CPU/Target.h"

#include "Runtime/Memory.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"

namespace mlir::moe {

/// One way to compile a layer.
class Variant {
public:
  /// Compiles `layer` for a level and a target to a package in `folder`, and
  /// opens it for calls with up to `maxTokens` tokens on all CPUs of this
  /// process.
  static llvm::Expected<Variant> create(ModuleOp layer, StringRef isa,
                                        const Target &target,
                                        const llvm::Twine &folder,
                                        int64_t maxTokens);

  /// Whether the machine code is the same, wherever it came from.
  bool isSameCode(const Variant &other) const { return code == other.code; }

  /// Seconds that one call takes.
  llvm::Expected<double> time(ArrayRef<moe_tensor> inputs,
                              const moe_tensor &output);

private:
  template <auto Close>
  struct Closer {
    template <typename T>
    void operator()(T *object) const {
      Close(object);
    }
  };

  std::unique_ptr<moe_model, Closer<moe_model_close>> model;
  std::unique_ptr<moe_state, Closer<moe_state_destroy>> state;
  std::string code; ///< its hash
};

/// A module with one product, and arguments for it.
class SyntheticLayer {
public:
  /// For a product that `canTime`, and calls with up to `maxTokens` tokens.
  /// Fewer experts than the product has, if they would take too much memory.
  static llvm::Expected<SyntheticLayer> create(Operation *op,
                                               int64_t maxTokens);

  /// Whether `op` is a packed product with all there is to know about its rows:
  /// an expert_ffn, or a grouped_matmul without groups.
  static bool canTime(Operation *op);

  ModuleOp getModule() { return *module; }
  Operation *getProduct() { return product; }

  /// Tokens that give each expert of the layer as many rows as `tokens` give
  /// those of the model.
  int64_t scaleTokens(int64_t tokens) const {
    return std::max<int64_t>(tokens * share, 1);
  }

  /// Arguments of a call: each call has other indices than recent ones, and
  /// weights that no cache holds.
  ArrayRef<moe_tensor> nextInputs(int64_t tokens);

  /// Room for the result of a call.
  moe_tensor getOutput(int64_t tokens);

private:
  /// Arrays that calls take in turns for one argument, whose dynamic extents
  /// are the number of tokens.
  struct Argument {
    RankedTensorType type;
    ::moe::runtime::Memory memory;
    int64_t bytes; ///< of one array
    int64_t copies;
    SmallVector<int64_t> shape; ///< of the last call
  };

  SyntheticLayer() = default;

  moe_tensor getTensor(Argument &argument, int64_t tokens);

  OwningOpRef<ModuleOp> module;
  Operation *product = nullptr;
  double share = 1; ///< of the experts
  int64_t calls = 0;
  std::vector<Argument> arguments; ///< inputs and, last, the result
  SmallVector<moe_tensor> inputs;
};

} // namespace mlir::moe

#endif // MOE_COMPILE_SYNTHETICLAYER_H
