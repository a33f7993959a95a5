# As elevate.sh, for Windows: starts who holds the grant, and prints where the block's steps find what it gives.
$folder = $env:CLOUDANIX_JIT_FOLDER

# The record of calls that an outer block keeps is not this one's.
if ($env:AWS_CSM_CLIENT_ID -like 'elev-*' -or $env:AWS_CSM_CLIENT_ID -like 'observe-*') {
  Remove-Item Env:AWS_CSM_ENABLED, Env:AWS_CSM_HOST, Env:AWS_CSM_PORT, Env:AWS_CSM_CLIENT_ID
}
$env:CLOUDANIX_JIT_BINARY = powershell -NoProfile -NonInteractive -ExecutionPolicy Bypass -File "$folder\fetch.ps1"
if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }

# By these hold.ps1 tells what the grant gives from what was here before.
$env:CLOUDANIX_JIT_KEY_BEFORE = $env:AWS_ACCESS_KEY_ID
$env:CLOUDANIX_JIT_ENDPOINT_BEFORE = $env:AWS_CONTAINER_CREDENTIALS_FULL_URI

# What holds the grant outlives this step: it shows no secret in its environment. The program removes the file.
[IO.File]::WriteAllText("$folder\auth-token", $env:CLOUDANIX_AUTH_TOKEN)
Remove-Item Env:CLOUDANIX_AUTH_TOKEN
$env:CLOUDANIX_AUTH_TOKEN_FILE = "$folder\auth-token"

$arguments = '-NoProfile', '-NonInteractive', '-ExecutionPolicy', 'Bypass', '-File', "`"$folder\run.ps1`""
$holder = Start-Process powershell -ArgumentList $arguments -WindowStyle Hidden -PassThru
Set-Content -Path "$folder\holder" -Value $holder.Id

$shown = 0
function Show {
  $lines = @(Get-Content "$folder\log" -ErrorAction SilentlyContinue)
  for (; $script:shown -lt $lines.Count; $script:shown++) { [Console]::Error.WriteLine($lines[$script:shown]) }
  Set-Content -Path "$folder\shown" -Value $script:shown
}

# The program itself gives up in time.
while (-not (Test-Path "$folder\given") -and -not (Test-Path "$folder\code") -and -not $holder.HasExited) {
  Show
  Start-Sleep -Milliseconds 100
}
Show
if (-not (Test-Path "$folder\given")) {
  $code = 1
  if (Test-Path "$folder\code") { $code = [int](Get-Content "$folder\code") }
  exit $code
}
Get-Content "$folder\given" | Write-Output
