// Tells the starter which port was taken.
export function ready(port) {
  process.stdout.write(`${JSON.stringify({ port })}\n`);
}
