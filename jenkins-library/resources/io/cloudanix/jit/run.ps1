# Runs `cloudanix-jit run` until its command, hold.ps1, has ended, and keeps what it says.
$folder = $env:CLOUDANIX_JIT_FOLDER
$arguments = @(
  'run', "--policy=$env:CLOUDANIX_JIT_POLICY", "--ttl=$env:CLOUDANIX_JIT_TTL", "--timeout=$env:CLOUDANIX_JIT_TIMEOUT",
  "--wait=$env:CLOUDANIX_JIT_WAIT", "--aws-credentials=$env:CLOUDANIX_JIT_AWS_CREDENTIALS"
)
if ($env:CLOUDANIX_JIT_TARGET) { $arguments += "--target=$env:CLOUDANIX_JIT_TARGET" }
if ($env:CLOUDANIX_JIT_REASON) { $arguments += "--reason=$env:CLOUDANIX_JIT_REASON" }
if ($env:CLOUDANIX_JIT_LIVE_ACTIONS -ne 'true') { $arguments += '--no-live-actions' }
if ($env:CLOUDANIX_JIT_OBSERVE -eq 'true') { $arguments += '--observe' }
$hold = '-NoProfile', '-NonInteractive', '-ExecutionPolicy', 'Bypass', '-File', "$folder\hold.ps1"

& $env:CLOUDANIX_JIT_BINARY @arguments -- powershell @hold *>&1 | ForEach-Object { Add-Content -Path "$folder\log" -Value "$_" }
Set-Content -Path "$folder\code.new" -Value $LASTEXITCODE
Move-Item "$folder\code.new" "$folder\code"
