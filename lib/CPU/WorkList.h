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

} // namespace mlir::moe

#endif // MOE_LIB_CPU_WORKLIST_H
