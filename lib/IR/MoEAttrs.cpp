//===- MoEAttrs.cpp - Attributes of the moe dialect -----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/IR/MoE.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::moe;

#define GET_ATTRDEF_CLASSES
#include "moe/IR/MoEAttrs.cpp.inc"

void MoEDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "moe/IR/MoEAttrs.cpp.inc"
      >();
}

Attribute CapacityAttr::parse(AsmParser &parser, Type) {
  int64_t fixed = 0, min = 1, multiple = 1;
  FloatAttr factor;
  Rounding rounding = Rounding::Floor;
  if (parser.parseLess())
    return {};
  OptionalParseResult integer = parser.parseOptionalInteger(fixed);
  if (!integer.has_value()) {
    double value;
    FailureOr<Rounding> parsed = failure();
    if (parser.parseFloat(value) ||
        failed(parsed = FieldParser<Rounding>::parse(parser)))
      return {};
    factor = parser.getBuilder().getF64FloatAttr(value);
    rounding = *parsed;
    if ((succeeded(parser.parseOptionalKeyword("min")) &&
         parser.parseInteger(min)) ||
        (succeeded(parser.parseOptionalKeyword("multiple")) &&
         parser.parseInteger(multiple)))
      return {};
  } else if (failed(*integer)) {
    return {};
  }
  if (parser.parseGreater())
    return {};
  return get(parser.getContext(), fixed, factor, rounding, min, multiple);
}

void CapacityAttr::print(AsmPrinter &printer) const {
  printer << "<";
  if (isFixed()) {
    printer << getFixed();
  } else {
    printer.printFloat(getFactor().getValue());
    printer << " " << stringifyRounding(getRounding());
    if (getMin() != 1)
      printer << " min " << getMin();
    if (getMultiple() != 1)
      printer << " multiple " << getMultiple();
  }
  printer << ">";
}
