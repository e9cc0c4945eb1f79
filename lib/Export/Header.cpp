//===- Header.cpp - The C header of a module ------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe/Export/Header.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::moe;

/// `input  i32 tokens[N]`
static void printArgument(llvm::raw_ostream &os, const Argument &argument) {
  os << llvm::left_justify(argument.kind, 6) << ' ' << argument.dtype << ' '
     << argument.name;
  for (Attribute extent : argument.shape)
    os << '[' << printExtent(extent) << ']';
}

/// The name of the macro that stands for a function's name.
static std::string makeMacro(StringRef function) {
  std::string macro = ("MOE_FUNCTION_" + function).str();
  for (char &c : macro)
    if (!llvm::isAlnum(c))
      c = '_';
  return macro;
}

std::string mlir::moe::makeHeader(const ModuleInterface &interface) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << "/* Functions of this module, by their names for moe_find_function(), "
        "with their\n"
     << " * arguments in the order of moe_call(). The state holds what is "
        "marked so.\n"
     << " * Written by moe-mlir " MOE_VERSION ". */\n\n"
     << "#include \"moe-runtime/moe.h\"\n";
  for (const Function &function : interface.functions) {
    os << "\n/* " << function.name << '\n';
    for (const Argument &argument : function.arguments) {
      os << " *   ";
      printArgument(os, argument);
      os << '\n';
    }
    os << " */\n#define " << makeMacro(function.name) << " \"" << function.name
       << "\"\n";
  }
  return text;
}
