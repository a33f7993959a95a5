// Without a command the action would hold the grant for the rest of the job; here that would be a mistake.
'use strict'

const { annotate, input } = require('../github.js')

if (input('run')) {
  require('../main.js')
} else {
  annotate('error', 'the input `run` is missing — name the command that runs with the grant')
  process.exitCode = 125
}
