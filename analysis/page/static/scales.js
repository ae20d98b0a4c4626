/** Numbers to places and back, linear or logarithmic, with round ticks. */

/** A scale from [low, high] to [start, end]; call it for a place, `.invert` it for a number. */
export function scale([low, high], [start, end], isLog = false) {
  const to = isLog ? Math.log : (value) => value;
  const from = isLog ? Math.exp : (value) => value;
  const first = to(low);
  const span = to(high) - first || 1;
  const place = (value) => start + ((to(value) - first) / span) * (end - start);
  place.invert = (at) => from(first + ((at - start) / (end - start || 1)) * span);
  place.ticks = (count) => (isLog ? logTicks(low, high, count) : linearTicks(low, high, count));
  return place;
}

/** Lowest and highest of numbers, with a little room; [0, 1] where there are none. */
export function extent(values, room = 0.04, isLog = false) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (!Number.isFinite(value) || (isLog && value <= 0)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return isLog ? [0.1, 1] : [0, 1];
  if (isLog) return [low / (high / low || 1) ** room * (low === high ? 0.9 : 1), high * (high / low) ** room * (low === high ? 1.1 : 1)];
  const margin = low === high ? Math.abs(high) * 0.05 || 1 : (high - low) * room;
  return [low - margin, high + margin];
}

function linearTicks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1);
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * size).find((candidate) => candidate >= rough);
  const ticks = [];
  for (let index = Math.ceil(low / step); index * step <= high * (1 + 1e-12); index += 1) {
    ticks.push(Number((index * step).toPrecision(12)));
  }
  return ticks;
}

/** Powers of ten; with 2 and 5 between them where these are few. */
function logTicks(low, high, count) {
  const powers = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) powers.push(power);
  const within = (ticks) => ticks.filter((tick) => tick >= low && tick <= high);
  const tens = within(powers.map((power) => 10 ** power));
  if (tens.length > count) return tens.filter((_, index) => index % Math.ceil(tens.length / count) === 0);
  if (tens.length >= 3) return tens;
  const finer = within(powers.flatMap((power) => [1, 2, 5].map((factor) => Number((factor * 10 ** power).toPrecision(6)))));
  return finer.length >= 2 ? finer : linearTicks(low, high, count);
}
