/** Heights of a tide with a period of twelve hours, at so many hours of a day. */
export function tides(count) {
  const hours = Array.from({ length: count }, (_, number) => (24 / count) * number);
  return hours.map((hour) => ({ hour, height: 2 + Math.cos((hour / 12) * 2 * Math.PI) }));
}
