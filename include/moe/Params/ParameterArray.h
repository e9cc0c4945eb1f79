//===- ParameterArray.h - Elements of a parameter ---------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_PARAMS_PARAMETERARRAY_H
#define MOE_PARAMS_PARAMETERARRAY_H

#include "moe/IR/MoE.h"
#include "moe/Params/Checkpoint.h"

namespace mlir::moe {

/// The elements of a parameter that is not packed. They stay in the
/// checkpoint's tensors, and are expanded and put in order when they are read.
class ParameterArray {
public:
  /// Finds the tensors that a parameter is made from. Emits an error on the
  /// parameter that reads one which is missing or has another type.
  static FailureOr<ParameterArray> find(ParameterOp parameter,
                                        Checkpoint &checkpoint);

  RankedTensorType getType() const { return type; }

  /// Writes `count` elements from number `begin` on, in row-major order. May be
  /// called from several threads.
  void read(int64_t begin, int64_t count, char *out) const;

  /// The name of the tensor that has element number `element`.
  llvm::StringRef getTensorName(int64_t element) const;

private:
  /// How the tensors hold elements.
  enum class Encoding { Plain, Mxfp4, Fp8 };

  /// Tensors of one type, one after another.
  using Stack = SmallVector<llvm::StringRef>;

  ParameterArray(RankedTensorType type, Encoding encoding, Stack tensors,
                 std::vector<std::string> names, Stack scales = {});

  static FailureOr<ParameterArray> findStack(ParameterOp parameter,
                                             Checkpoint &checkpoint);

  void setOrder(RankedTensorType newType, AffineExpr newNumber);

  /// The scale of element number `i` of a tensor, of Fp8.
  float getScale(int64_t tensor, int64_t i) const;

  /// Writes a tensor's elements number `first`, `first + step`, ..., of Fp8.
  void gatherFp8(int64_t tensor, int64_t first, int64_t step, int64_t count,
                 char *to) const;

  /// Writes the tensors' elements number `begin`, `begin + step`, ...
  void gather(int64_t begin, int64_t step, int64_t count, char *to) const;

  RankedTensorType type;
  Encoding encoding;
  Stack tensors;
  std::vector<std::string> names; ///< of the tensors
  Stack scales;                   ///< of Mxfp4 and Fp8
  int64_t elementsPerTensor;
  int64_t out = 0, in = 0; ///< extents of a matrix of Fp8

  /// The number of an element in the tensors, as a function of its index here.
  AffineExpr number;
  /// What neighbours of a row are apart in the tensors, where that is constant.
  std::optional<int64_t> step;
  SmallVector<int64_t> strides; ///< of `type`
};

} // namespace mlir::moe

#endif // MOE_PARAMS_PARAMETERARRAY_H
