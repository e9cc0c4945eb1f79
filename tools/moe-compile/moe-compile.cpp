//===- moe-compile.cpp - Compiles MLIR to native code and packages --------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TargetFile.h"
#include "Tune.h"

#include "moe/Export/Header.h"
#include "moe/Export/LLVMIR.h"
#include "moe/Export/Link.h"
#include "moe/Export/Package.h"
#include "moe/InitAll.h"

#include "mlir/Dialect/DLTI/DLTI.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Support/FileUtilities.h"
#include "mlir/Support/ToolUtilities.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/Threading.h"
#include "llvm/Support/WithColor.h"

using namespace mlir;
using namespace mlir::moe;
namespace cl = llvm::cl;

//===----------------------------------------------------------------------===//
// Command line
//===----------------------------------------------------------------------===//

static cl::OptionCategory category("moe-compile options");

static cl::opt<std::string> input(cl::Positional, cl::Required,
                                  cl::desc("<input .mlir, or ->"),
                                  cl::cat(category));

static cl::opt<std::string> output("o", cl::value_desc("path"),
                                   cl::desc("what to write"),
                                   cl::cat(category));

enum class Emit { Package, Object, Shared, LLVMIR, MLIR };

static cl::opt<Emit>
    emit("emit", cl::desc("kind of output:"), cl::init(Emit::Package),
         cl::values(clEnumValN(Emit::Package, "package",
                               "package folder (the default)"),
                    clEnumValN(Emit::Object, "object", "object file"),
                    clEnumValN(Emit::Shared, "shared",
                               "shared library, C header beside"),
                    clEnumValN(Emit::LLVMIR, "llvm-ir", "optimized LLVM IR"),
                    clEnumValN(Emit::MLIR, "mlir", "MLIR after all passes")),
         cl::cat(category));

static cl::opt<std::string>
    checkpoint("checkpoint", cl::value_desc("folder"),
               cl::desc("folder of the model's safetensors files"),
               cl::cat(category));

static cl::opt<bool> shapesOnly("shapes-only",
                                cl::desc("make a package without weights"),
                                cl::cat(category));

static cl::list<std::string>
    sources("source", cl::value_desc("file"),
            cl::desc("record the hash of this file in the manifest; may be "
                     "given several times"),
            cl::cat(category));

static cl::list<std::string>
    copies("copy", cl::value_desc("file"),
           cl::desc("copy this file into the package; may be given several "
                    "times"),
           cl::cat(category));

static cl::opt<std::string>
    pipelineOptions("pipeline-options", cl::value_desc("options"),
                    cl::desc("options of the pipeline moe-compile-cpu"),
                    cl::cat(category));

static cl::opt<std::string> levels(
    "isa", cl::value_desc("levels"),
    cl::desc("ISA levels to compile for, as v3,v4: the pipeline's option "
             "of that name"),
    cl::cat(category));

static cl::opt<std::string> compute(
    "compute", cl::value_desc("type"),
    cl::desc("what products round their rows to, f32, bf16 or int8: the "
             "pipeline's option of that name"),
    cl::cat(category));

static cl::opt<std::string> format(
    "format", cl::value_desc("format"),
    cl::desc("format of packed weights, as q4_0: the pipeline's option of that "
             "name"),
    cl::cat(category));

static cl::opt<bool>
    explain("explain",
            cl::desc("compile nothing; print what each product and attention "
                     "will cost on this machine's CPUs, with which kernel"),
            cl::cat(category));

static cl::opt<std::string> target(
    "target", cl::value_desc("file"),
    cl::desc("compile for the machine that this file of --tune describes"),
    cl::cat(category));

static cl::opt<std::string> tuneFile(
    "tune", cl::value_desc("file"),
    cl::desc("compile nothing; measure this machine, and on it alternatives to "
             "how products are cut, and write what is best for --target"),
    cl::cat(category));

static cl::opt<unsigned>
    tuneSeconds("tune-seconds", cl::init(180),
                cl::desc("about how long --tune may measure (default 180)"),
                cl::cat(category));

static cl::opt<bool> timePhases("time-phases",
                                cl::desc("print the time that each phase took"),
                                cl::cat(category));

//===----------------------------------------------------------------------===//
// Phases
//===----------------------------------------------------------------------===//

/// Prints the one message of a failure that is not about the IR.
static LogicalResult fail(const llvm::Twine &message) {
  llvm::WithColor::error(llvm::errs(), "moe-compile") << message << '\n';
  return failure();
}

static LogicalResult reportIfError(llvm::Error error) {
  return error ? fail(llvm::toString(std::move(error))) : success();
}

/// Writes text or an object file; `-` is the standard output. A file appears
/// when it is complete; a device stays one.
static LogicalResult write(llvm::function_ref<void(llvm::raw_ostream &)> print,
                           StringRef path) {
  namespace fs = llvm::sys::fs;
  if (path != "-" && (!fs::exists(path) || fs::is_regular_file(path)))
    return reportIfError(llvm::writeToOutput(path, [&](llvm::raw_ostream &os) {
      print(os);
      return llvm::Error::success();
    }));
  std::error_code error;
  llvm::raw_fd_ostream os(path, error);
  if (!error) {
    print(os);
    os.flush();
    error = os.error();
    os.clear_error();
  }
  return error ? reportIfError(llvm::createFileError(path, error)) : success();
}

/// Brings a module from the graph form to the target form, or explains it, or
/// tunes for it.
static LogicalResult runPipeline(ModuleOp module) {
  std::string text = pipelineOptions;
  if (!levels.empty())
    text += " isa=" + levels;
  if (!format.empty())
    text += " format=" + format;
  if (!compute.empty())
    text += " compute=" + compute;
  auto options = CompileOptions::createFromString(text);
  if (!options)
    return fail("expected options of the pipeline moe-compile-cpu, got '" +
                text + "'");
  if (!options->fuse &&
      (!options->format.empty() || options->compute != Compute::F32))
    return fail("expected no format and no compute with fuse=false, which "
                "packs no weights, got '" +
                text + "'");
  if (!target.empty()) {
    FailureOr<Target> description = readTarget(target, module.getContext());
    if (failed(description))
      return failure();
    module->setAttr(DLTIDialect::kTargetSystemDescAttrName,
                    description->toAttribute(module.getContext()));
  }
  PassManager passes(module.getContext());
  if (!tuneFile.empty()) {
    buildFusionPipeline(passes, *options);
    if (failed(passes.run(module)))
      return failure();
    llvm::Expected<std::string> text = tune(module, *options, tuneSeconds);
    if (!text)
      return reportIfError(text.takeError());
    return write([&](llvm::raw_ostream &os) { os << *text; }, tuneFile);
  }
  if (explain)
    buildExplainPipeline(passes, *options,
                         llvm::hardware_concurrency().compute_thread_count());
  else
    buildCompilePipeline(passes, *options);
  return passes.run(module);
}

/// Writes what `--emit` asks for, other than MLIR and packages.
static LogicalResult emitCode(ModuleOp module) {
  FailureOr<ModuleInterface> interface = ModuleInterface::get(module);
  if (failed(interface))
    return failure();
  llvm::LLVMContext context;
  FailureOr<TranslatedModule> translated =
      translateToLLVMIR(module, *interface, context);
  if (failed(translated))
    return failure();
  if (emit == Emit::LLVMIR)
    return write(
        [&](llvm::raw_ostream &os) {
          translated->llvmModule->print(os, nullptr);
        },
        output);

  std::string object = emitObject(std::move(*translated));
  if (emit == Emit::Object)
    return write([&](llvm::raw_ostream &os) { os << object; }, output);

  if (failed(reportIfError(linkSharedLibrary(object, output))))
    return failure();
  SmallString<128> header(output);
  llvm::sys::path::replace_extension(header, ".h");
  return write([&](llvm::raw_ostream &os) { os << makeHeader(*interface); },
               header);
}

/// Parses the input and brings it to the target form, unless it already is
/// there, as `--emit=mlir` prints it; then writes the output.
static LogicalResult compile(MLIRContext &context, llvm::SourceMgr &sourceMgr,
                             TimingScope &timing) {
  bool isCompiled = !explain && tuneFile.empty();
  if (output.empty() && isCompiled)
    return fail("expected -o and what to write, --explain or --tune");
  TimingScope phase = timing.nest("parse");
  auto module = parseSourceFile<ModuleOp>(sourceMgr, &context);
  if (!module)
    return failure();
  if (!isCompiled)
    return runPipeline(*module);
  bool hasParameters = !module->getOps<ParameterOp>().empty();
  if (emit == Emit::Package && hasParameters && !shapesOnly &&
      checkpoint.empty())
    return fail("expected --checkpoint or --shapes-only, because the module "
                "has parameters");

  phase = timing.nest("passes");
  if (!(*module)->hasAttr(kFunctionsAttr) && failed(runPipeline(*module)))
    return failure();
  phase.stop();
  if (emit == Emit::MLIR)
    return write([&](llvm::raw_ostream &os) { module->print(os); }, output);
  if (emit != Emit::Package)
    return emitCode(*module);
  return writePackage(
      *module,
      {output, shapesOnly ? std::string() : checkpoint, sources, copies},
      timing);
}

int main(int argc, char **argv) {
  llvm::InitLLVM initialize(argc, argv);
  cl::HideUnrelatedOptions(category);
  cl::SetVersionPrinter([](llvm::raw_ostream &os) {
    os << "moe-compile " MOE_VERSION ", LLVM " LLVM_VERSION_STRING "\n";
  });
  cl::ParseCommandLineOptions(
      argc, argv, "Compiles Mixture-of-Experts models to native code\n");

  DialectRegistry registry;
  mlir::moe::registerAllDialects(registry);
  registerTranslations(registry);
  MLIRContext context(registry);
  context.printOpOnDiagnostic(false);

  std::string error;
  auto file = openInputFile(input, &error);
  if (!file)
    return failed(fail(error));
  llvm::SourceMgr sourceMgr;
  sourceMgr.AddNewSourceBuffer(std::move(file), llvm::SMLoc());
  SourceMgrDiagnosticHandler diagnostics(sourceMgr, &context);
  // What is no fault of the IR has no location.
  ScopedDiagnosticHandler unlocated(&context, [](Diagnostic &diagnostic) {
    if (!isa<UnknownLoc>(diagnostic.getLocation()) ||
        diagnostic.getSeverity() != DiagnosticSeverity::Error)
      return failure();
    (void)fail(diagnostic.str());
    return success();
  });

  DefaultTimingManager manager;
  manager.setEnabled(timePhases);
  manager.setDisplayMode(DefaultTimingManager::DisplayMode::Tree);
  TimingScope timing = manager.getRootScope();
  return failed(compile(context, sourceMgr, timing));
}
