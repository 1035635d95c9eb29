package provision

import "context"

// InstallKcat makes sure of kcat, and returns its path.
func InstallKcat(ctx context.Context) (path string, err error) { return find(ctx, "kcat") }
