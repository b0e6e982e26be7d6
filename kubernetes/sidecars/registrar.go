// Package sidecars has what stands between a Kubernetes and a CSI driver: it registers the driver with kubelets, and makes,
// removes, attaches and detaches its volumes as the cluster asks for it.
package sidecars

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// A registrar tells the kubelet of its node where a driver's plugin serves, as node-driver-registrar does.
type registrar struct {
	registration.UnimplementedRegistrationServer
	driver, socket string
}

func (r registrar) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: r.driver, Endpoint: r.socket, SupportedVersions: []string{"1.0.0"},
	}, nil
}

// The kubelet asks again on its own where it could not register a plugin, so that this only tells.
func (r registrar) NotifyRegistrationStatus(
	_ context.Context, status *registration.RegistrationStatus,
) (*registration.RegistrationStatusResponse, error) {
	fmt.Fprintf(os.Stderr, "registered: %v %s\n", status.PluginRegistered, status.Error)
	return &registration.RegistrationStatusResponse{}, nil
}

// RegistrarCommand is the executable's part csi-registrar.
func RegistrarCommand() *cobra.Command {
	var driver, socket, registry string
	command := &cobra.Command{
		Use:   "csi-registrar",
		Short: "Register a CSI driver's plugin with the kubelet of its node",
		RunE: func(*cobra.Command, []string) error {
			at := filepath.Join(registry, driver+"-reg.sock")
			if err := os.Remove(at); err != nil && !os.IsNotExist(err) {
				return err
			}
			listener, err := net.Listen("unix", at)
			if err != nil {
				return err
			}
			server := grpc.NewServer()
			registration.RegisterRegistrationServer(server, registrar{driver: driver, socket: socket})
			return server.Serve(listener)
		},
	}
	command.Flags().StringVar(&driver, "driver", "", "the driver's name, as GetPluginInfo says it")
	command.Flags().StringVar(&socket, "socket", "", "the plugin's socket, as the kubelet reaches it")
	command.Flags().StringVar(&registry, "registry", "/var/lib/kubelet/plugins_registry", "the kubelet's folder of registrations")
	return command
}
