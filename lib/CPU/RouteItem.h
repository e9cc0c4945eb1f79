//===- RouteItem.h - A work item of routing ---------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A work item is a run of tokens. For each token, a register of experts at a
// time:
//
//   s[e] = score of l[e];  key[e] = order of (s[e] or l[e]) + bias[e]
//   the best groups, of which the keys of the others are replaced
//   k times: the largest key, and the lowest index that has it; take it away
//   w[j] = s[idx[j]], divided by its norm in the order of slots
//
// Keys are integers that order as `moe.select` says: the bits of an f32 with
// those of negative numbers flipped, then NaN, and last what is no candidate:
// an expert that was taken, a lane beyond the last expert.
//
// Nothing is shared between tokens: the bits of a token do not depend on its
// item.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_CPU_ROUTEITEM_H
#define MOE_LIB_CPU_ROUTEITEM_H

#include "Levels.h"

#include "moe/IR/MoE.h"

namespace mlir::moe {

/// Emits the routing of a run of tokens.
class RouteItem {
public:
  RouteItem(RouteOp op, const Level &level);

  /// Elements that a token touches, about.
  int64_t work() const;

  /// Tokens `begin..end`.
  void emit(ImplicitLocOpBuilder &b, Value begin, Value end);

private:
  /// A key and the index that has it.
  struct Candidate {
    Value key, index;
  };
  using Load =
      function_ref<Value(ImplicitLocOpBuilder &b, Value i, int64_t count)>;

  Value scratch(ImplicitLocOpBuilder &b, int64_t size, Type type);
  void softmax(ImplicitLocOpBuilder &b, int64_t size, Value to, Load load);
  void score(ImplicitLocOpBuilder &b, int64_t size, Value to, Load load);
  void makeKeys(ImplicitLocOpBuilder &b);
  Candidate best(ImplicitLocOpBuilder &b, Value keys, Value first,
                 int64_t size);
  void keepBestGroups(ImplicitLocOpBuilder &b, GroupsAttr groups);
  void select(ImplicitLocOpBuilder &b);
  void weigh(ImplicitLocOpBuilder &b);

  RouteOp op;
  int64_t lanes, experts, topK;

  Value token;
  /// Of a token: scores and keys of experts, and of slots what they weigh.
  Value scores, keys, slots;
};

} // namespace mlir::moe

#endif // MOE_LIB_CPU_ROUTEITEM_H
