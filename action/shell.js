// How is a script given to a shell? As GitHub does it for a step of its own.
'use strict'

const fs = require('node:fs')
const path = require('node:path')
const { Failure } = require('./github.js')
const { onPath } = require('./fetch.js')

/** Writes the script into the folder and returns the command that runs it. */
function shellCommand(folder, shell, script) {
  const write = (name, text) => {
    const file = path.join(folder, name)
    fs.writeFileSync(file, text, { flag: 'wx', mode: 0o600 })
    return file
  }
  // Windows looks into its own folder before the PATH, and finds there a `bash` that is for another system.
  const program = (process.platform === 'win32' && onPath(`${shell}.exe`)) || shell
  switch (shell) {
    case 'bash':
      return [program, '--noprofile', '--norc', '-e', '-o', 'pipefail', write('script.sh', script)]
    case 'sh':
      return [program, '-e', write('script.sh', script)]
    case 'pwsh': {
      // Stops at the first error, and ends with the code of the last program that was called.
      const stops = `$ErrorActionPreference = 'stop'\n${script}\n`
      const ends = 'if (Test-Path -LiteralPath variable:\\LASTEXITCODE) { exit $LASTEXITCODE }\n'
      const file = write('script.ps1', stops + ends)
      return [program, '-command', `. '${file.replaceAll("'", "''")}'`]
    }
    default:
      throw new Failure(`the input \`shell\` is \`${shell}\``, 'expected `bash`, `sh` or `pwsh`')
  }
}

module.exports = { shellCommand }
