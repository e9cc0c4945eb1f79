//===- Pack.cpp - Packs matrices in panels --------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Column c of a panel is a row of a source: of one source, row 32p+c; of two,
// row 16p+c of the first for c < 16 and row 16p+c-16 of the second for the
// rest. A column is encoded alone, in order, and then put in its places.
//
//===----------------------------------------------------------------------===//

#include "moe/Params/Pack.h"
#include "moe/Params/SmallFloats.h"

#include "llvm/ADT/bit.h"
#include "llvm/Support/MathExtras.h"

#include <cstring>

using namespace mlir;
using namespace mlir::moe;

/// Reads `values.size()` elements of an own format.
static void expandRow(PackFormat own, const char *row,
                      MutableArrayRef<float> values) {
  if (own == PackFormat::F32) {
    std::memcpy(values.data(), row, values.size() * sizeof(float));
    return;
  }
  for (auto [i, value] : llvm::enumerate(values)) {
    uint16_t bits;
    std::memcpy(&bits, row + i * sizeof(bits), sizeof(bits));
    value = llvm::bit_cast<float>(
        own == PackFormat::F16 ? expandF16(bits) : uint32_t(bits) << 16);
  }
}

/// The first of `values` that is not below `limit` in magnitude, if any.
static std::optional<int64_t> findUnfit(ArrayRef<float> values, float limit) {
  bool allFit = true; // NaN does not
  for (float value : values)
    allFit &= std::fabs(value) < limit;
  if (allFit)
    return std::nullopt;
  auto *unfit = llvm::find_if(
      values, [&](float value) { return !(std::fabs(value) < limit); });
  return unfit - values.begin();
}

/// Puts `count` units of elements that follow one another where they are
/// `stride` bytes apart.
template <typename Unit>
static void scatter(const char *from, int64_t count, char *to, int64_t stride) {
  for (int64_t i = 0; i < count; ++i)
    std::memcpy(to + i * stride, from + i * sizeof(Unit), sizeof(Unit));
}

/// Puts column `c` in its places of a panel.
static void placeColumn(const PanelGeometry &geometry, int64_t steps, int64_t c,
                        const char *elements, const char *scales, char *panel) {
  int64_t stepBytes = geometry.elementBytes / kPanelColumns;
  int64_t units = stepBytes / geometry.unitBytes;
  int64_t stride = geometry.unitColumns * geometry.unitBytes;
  int64_t first = c / geometry.unitColumns * units * stride +
                  c % geometry.unitColumns * geometry.unitBytes;
  int64_t groups = geometry.stepInputs / kScaleGroup;
  for (int64_t step = 0; step < steps; ++step) {
    char *to = panel + step * geometry.getStepBytes();
    if (geometry.unitBytes == sizeof(uint16_t))
      scatter<uint16_t>(elements, units, to + first, stride);
    else
      scatter<uint32_t>(elements, units, to + first, stride);
    elements += stepBytes;
    if (geometry.scaleBytes == 0)
      continue;
    int64_t scaleBytes = geometry.scaleBytes / groups / kPanelColumns;
    to += geometry.elementBytes + c * scaleBytes;
    for (int64_t group = 0; group < groups; ++group) {
      std::memcpy(to + group * kPanelColumns * scaleBytes, scales, scaleBytes);
      scales += scaleBytes;
    }
  }
  int64_t tailBytes = geometry.tailBytes / kPanelColumns;
  std::memcpy(panel + steps * geometry.getStepBytes() + c * tailBytes, scales,
              tailBytes);
}

PackedPanel mlir::moe::packPanel(PackFormat format, const PackSources &sources,
                                 int64_t panel) {
  PanelGeometry geometry = PanelGeometry::get(format);
  PackedPanel result;
  result.bytes.resize(geometry.getPanelBytes(sources.in));
  // Columns are encoded in pairs of groups, whatever the step.
  int64_t padded = llvm::alignTo(sources.in, 2 * kScaleGroup);
  std::vector<float> values(padded);
  std::string elements(padded * sizeof(float), '\0'), scales = elements;

  int64_t columnsPerSource = kPanelColumns / sources.number;
  for (int64_t c = 0; c < kPanelColumns; ++c) {
    int64_t source = c / columnsPerSource;
    int64_t row = panel * columnsPerSource + c % columnsPerSource;
    const char *data =
        row < sources.out ? sources.getRow(source, row) : nullptr;
    if (format == sources.own) {
      if (!data)
        continue;
      int64_t elementBytes =
          geometry.elementBytes / kPanelColumns / geometry.stepInputs;
      std::memcpy(elements.data(), data, sources.in * elementBytes);
    } else {
      std::fill(values.begin(), values.end(), 0);
      if (data)
        expandRow(sources.own, data,
                  MutableArrayRef(values).take_front(sources.in));
      if (auto column = findUnfit(values, getLimit(format))) {
        result.unfit = {source, row, *column, values[*column]};
        return result;
      }
      encodeColumn(format, values, elements.data(), scales.data(),
                   result.deviation);
    }
    placeColumn(geometry, geometry.getNumSteps(sources.in), c, elements.data(),
                scales.data(), result.bytes.data());
  }
  return result;
}
