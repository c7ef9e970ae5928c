// What a model's numbers mean: classes with probabilities, the likeliest first; labels with one each; or numbers with units.

export function answersOf(logits, said) {
  const values = Array.from(logits, Number);
  if (!values.every(Number.isFinite)) throw new Error("The model answers with values that are no finite numbers.");
  if (said.numbers) return said.numbers.map(({ name, unit }, at) => ({ name, unit: unit ?? "", value: values[at] }));
  const shares = said.multi_label ? values.map((value) => 1 / (1 + Math.exp(-value))) : softmax(values);
  return said.classes.map((name, at) => ({ name, share: shares[at] })).sort((a, b) => b.share - a.share);
}

function softmax(values) {
  const most = Math.max(...values), powers = values.map((value) => Math.exp(value - most));
  const total = powers.reduce((sum, one) => sum + one, 0);
  return powers.map((one) => one / total);
}
