// Validates an AsyncAPI document with the specification's own parser and prints what it says. Exit code 1: it is not valid.
import { readFile } from 'node:fs/promises'
import { DiagnosticSeverity, Parser } from '@asyncapi/parser'

const source = process.argv[2]
const parser = new Parser()
const { document, diagnostics } = await parser.parse(await readFile(source, 'utf8'), { source })

for (const d of diagnostics) {
  const { line, character } = d.range.start
  console.log(`${source}:${line + 1}:${character + 1}: ${DiagnosticSeverity[d.severity]}: ${d.message} [${d.code}] at ${d.path.join('.')}`)
}
const serious = diagnostics.filter(d => d.severity <= DiagnosticSeverity.Warning)
if (!document || serious.length > 0) {
  console.log(`${source}: ${serious.length} faults`)
  process.exit(1)
}
console.log(`${source}: valid: ${document.channels().length} channels, ${document.operations().length} operations, ` +
  `${document.allMessages().length} messages`)
