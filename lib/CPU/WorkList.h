//===- WorkList.h - Items that threads take one by one ----------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_LIB_CPU_WORKLIST_H
#define MOE_LIB_CPU_WORKLIST_H

#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::moe {

/// An item, the one that its thread does after it (or a number beyond the
/// last), and the thread's number.
struct WorkItem {
  Value number, next, thread;
};

/// Calls `body` on the items `0..count`, on the call's threads if they are
/// worth it: an item computes about `work` elements. A thread takes its next
/// item when it begins one, so that it can prefetch.
void forEachItem(
    ImplicitLocOpBuilder &b, Value count, Value work,
    function_ref<void(ImplicitLocOpBuilder &b, const WorkItem &item)> body);

/// Of things that items do bit by bit, how many bits are left. An item may wait
/// for what items with lower numbers do: the unfinished one with the lowest
/// number waits for nobody, and the thread that took it does nothing else
/// before, or a thread comes to take it, so that there always is one that goes
/// on, however many threads there are and however they are scheduled.
class Countdowns {
public:
  /// Of `count` things.
  Countdowns(ImplicitLocOpBuilder &b, Value count);

  /// Before the work begins: thing `i` takes `bits`, an i32.
  void set(ImplicitLocOpBuilder &b, Value i, Value bits) const;

  /// Says that a bit of thing `i` is done, with all that was written for it.
  void finish(ImplicitLocOpBuilder &b, Value i) const;

  /// Waits until thing `i` is done, and sees what was written for it.
  void await(ImplicitLocOpBuilder &b, Value i) const;

private:
  Value left;
};

} // namespace mlir::moe

#endif // MOE_LIB_CPU_WORKLIST_H
