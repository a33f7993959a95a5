// How is the client called: with which environment, and what becomes of a signal?
'use strict'

const { spawn, spawnSync } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { Failure, annotate, input, mask, saveState, state, variableOf } = require('./github.js')
const { find } = require('./fetch.js')

// What an input becomes for the client. The others are flags of `run` and `elevate`.
const VARIABLES = {
  url: 'CLOUDANIX_URL',
  'agent-id': 'CLOUDANIX_AGENT_ID',
  'auth-token': 'CLOUDANIX_AUTH_TOKEN',
  audience: 'CLOUDANIX_AUDIENCE',
  'ca-file': 'CLOUDANIX_CA_FILE',
  version: 'CLOUDANIX_JIT_VERSION',
  sha256: 'CLOUDANIX_JIT_SHA256',
  mirror: 'CLOUDANIX_JIT_MIRROR',
  binary: 'CLOUDANIX_JIT_BINARY',
}
const FILES = ['ca-file', 'binary']
// More than all that the client says before a command starts.
const REMEMBERED = 64 * 1024
const GRANTED = /^✓ elevate .* (elev-[0-9a-f]{16})$/m
const ENDED = ['settling', 'expired', 'revoked', 'failed']

/** The client, ready to be called, and a folder of this step's own. Masks the auth token before all else. */
function prepare() {
  const env = environment()
  mask(env.CLOUDANIX_AUTH_TOKEN ?? '')
  const temp = process.env.RUNNER_TEMP
  if (!temp) throw new Failure('`RUNNER_TEMP` is not set', 'this is for a step of GitHub Actions')
  const folder = fs.mkdtempSync(path.join(temp, 'cloudanix-jit-step-'))
  // Before anything is asked for: whatever happens from here on, `post` knows where to look.
  saveState('folder', folder)
  const program = find(env, folder)
  saveState('program', program)
  return { env, folder, program }
}

/** The same, from what the main half has saved; nothing when it asked for nothing. */
function resume() {
  const folder = state('folder')
  const program = state('program')
  if (!folder || !program || !fs.existsSync(folder)) return null
  const env = environment()
  mask(env.CLOUDANIX_AUTH_TOKEN ?? '')
  return { env, folder, program }
}

function environment() {
  const env = { ...process.env }
  for (const [name, variable] of Object.entries(VARIABLES)) {
    const value = input(name)
    if (value) env[variable] = FILES.includes(name) ? path.resolve(value) : value
    // The command that is run gets what is left, and the auth token is none of its business.
    delete env[variableOf(name)]
  }
  return env
}

/** Where the id of this step's grant is kept. */
function grantFile(client) {
  return path.join(client.folder, 'grant')
}

/** Where `elevate` writes its handle. */
function stateFile(client) {
  return path.join(client.folder, 'state.json')
}

/**
 * Calls the client and waits for its end. What it says for people is passed on, and remembered as far as it
 * came before any command of the user's. `onGrant` is called with the grant's id as soon as there is one.
 */
async function call(client, args, { cwd, onGrant = () => {} } = {}) {
  if (cwd && !fs.existsSync(cwd)) {
    throw new Failure(`the folder \`${cwd}\` does not exist`, 'correct the input `working-directory`')
  }
  const result = { interrupted: false, said: '', grant: '' }
  const decoder = new TextDecoder()
  let child
  // The runner tells this process alone. On Windows everybody on the console is told, the client as well, and
  // a signal that Node sends there would be a kill. Handlers run when this function waits: by then there is a child.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK']) {
    process.on(signal, () => {
      result.interrupted = true
      if (process.platform !== 'win32') child.kill(signal)
    })
  }
  child = spawn(client.program, args, { cwd, env: client.env, stdio: ['inherit', 'inherit', 'pipe'] })
  child.stderr.pipe(process.stderr)
  child.stderr.on('data', (chunk) => {
    if (result.grant || result.said.length > REMEMBERED) return
    result.said += decoder.decode(chunk, { stream: true })
    const found = GRANTED.exec(result.said)
    if (!found) return
    result.grant = found[1]
    try {
      fs.writeFileSync(grantFile(client), result.grant, { mode: 0o600 })
      onGrant(result.grant)
    } catch (error) {
      // The command runs: it is worth more than what is told of it.
      annotate('warning', error.message)
    }
  })
  const closed = once(child.stderr, 'close').catch(() => {})
  const [code, signal] = await once(child, 'exit').catch((error) => {
    throw new Failure(`\`${client.program}\` cannot be started: ${error.message}`)
  })
  // What the command has left running may hold the pipe open for ever.
  await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 1000).unref())])
  child.stderr.destroy()
  result.code = signal ? 128 + os.constants.signals[signal] : code
  return result
}

/** What a failed client said, as one line: what happened, what to do, and the broker's name for it. */
function complaint(said) {
  const lines = said.split(/\r?\n/)
  const at = lines.findLastIndex((line) => /^[✗!] /.test(line))
  if (at < 0) return ''
  const rest = lines.slice(at + 1)
  const end = rest.findIndex((line) => !/^ {2}(hint|code): /.test(line))
  const more = (end < 0 ? rest : rest.slice(0, end)).map((line) => line.trim())
  return [lines[at].replace(/^[✗!] \S+ +/, ''), ...more].join(' — ')
}

/** A question to the broker whose answer nothing depends on; empty when there is none in time. */
function ask(client, args, timeout) {
  const answer = spawnSync(client.program, args, {
    env: client.env, encoding: 'utf8', timeout, stdio: ['ignore', 'pipe', 'ignore'],
  })
  return answer.status === 0 ? answer.stdout : ''
}

/** How a grant stands: whether it has ended, and its deadline. */
function standing(client, grant, timeout) {
  const answer = ask(client, ['status', grant, '--output=json'], timeout)
  const { status = '', expires_at: expiresAt = '' } = answer ? JSON.parse(answer) : {}
  return { ended: ENDED.includes(status), expiresAt }
}

module.exports = { ask, call, complaint, grantFile, prepare, resume, standing, stateFile }
