package sidecars

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v11/controller"
)

// Parameters with this prefix are for who asks the driver, and not the driver's.
const reserved = "csi.storage.k8s.io/"

// For one call to the driver, where nothing else is said; the queue asks again.
const defaultCallTimeout = 30 * time.Second

// From one try to the next, at first and at last.
const (
	retryFirst = 100 * time.Millisecond
	retryLast  = 10 * time.Second
)

// A provisioner makes volumes for claims and removes them, as external-provisioner does.
type provisioner struct {
	driver   string
	csi      csi.ControllerClient
	client   kubernetes.Interface
	topology bool
	// Whether its volumes are attached.
	attaches bool
	timeout  time.Duration
}

func modes(claimed []core.PersistentVolumeAccessMode, singleWriter bool) []csi.VolumeCapability_AccessMode_Mode {
	found := make([]csi.VolumeCapability_AccessMode_Mode, 0, len(claimed))
	for _, mode := range claimed {
		switch mode {
		case core.ReadWriteMany:
			found = append(found, csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER)
		case core.ReadOnlyMany:
			found = append(found, csi.VolumeCapability_AccessMode_MULTI_NODE_READER_ONLY)
		case core.ReadWriteOncePod:
			if singleWriter {
				found = append(found, csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER)
			} else {
				found = append(found, csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER)
			}
		default:
			if singleWriter {
				found = append(found, csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER)
			} else {
				found = append(found, csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER)
			}
		}
	}
	return found
}

func capabilities(
	claimed []core.PersistentVolumeAccessMode, singleWriter, block bool, filesystem string, flags []string,
) []*csi.VolumeCapability {
	found := make([]*csi.VolumeCapability, 0, len(claimed))
	for _, mode := range modes(claimed, singleWriter) {
		capability := &csi.VolumeCapability{AccessMode: &csi.VolumeCapability_AccessMode{Mode: mode}}
		if block {
			capability.AccessType = &csi.VolumeCapability_Block{Block: &csi.VolumeCapability_BlockVolume{}}
		} else {
			capability.AccessType = &csi.VolumeCapability_Mount{
				Mount: &csi.VolumeCapability_MountVolume{FsType: filesystem, MountFlags: flags},
			}
		}
		found = append(found, capability)
	}
	return found
}

// Asks the driver for one thing. The time for that begins here: what the cluster's API takes before is not the driver's.
func ask[Request, Answer any](
	ctx context.Context,
	timeout time.Duration,
	call func(context.Context, Request, ...grpc.CallOption) (Answer, error),
	request Request,
	options ...grpc.CallOption,
) (Answer, error) {
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return call(within, request, options...)
}

// Whether a driver tells volumes for one pod from those for one node: it is asked in other words then.
func singleWriter(ctx context.Context, driver csi.ControllerClient, timeout time.Duration) (bool, error) {
	answer, err := ask(ctx, timeout, driver.ControllerGetCapabilities, &csi.ControllerGetCapabilitiesRequest{})
	if err != nil {
		return false, err
	}
	for _, capability := range answer.Capabilities {
		if capability.GetRpc().GetType() == csi.ControllerServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER {
			return true, nil
		}
	}
	return false, nil
}

func (p provisioner) Provision(
	ctx context.Context, options controller.ProvisionOptions,
) (*core.PersistentVolume, controller.ProvisioningState, error) {
	claim, class := options.PVC, options.StorageClass
	filesystem, parameters := "ext4", map[string]string{}
	for key, value := range class.Parameters {
		switch {
		case key == reserved+"fstype":
			filesystem = value
		case strings.HasPrefix(key, reserved):
		default:
			parameters[key] = value
		}
	}
	singleWriter, err := singleWriter(ctx, p.csi, p.timeout)
	if err != nil {
		return nil, controller.ProvisioningNoChange, err
	}
	block := claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == core.PersistentVolumeBlock
	size := claim.Spec.Resources.Requests[core.ResourceStorage]
	request := &csi.CreateVolumeRequest{
		Name:               options.PVName,
		CapacityRange:      &csi.CapacityRange{RequiredBytes: size.Value()},
		VolumeCapabilities: capabilities(claim.Spec.AccessModes, singleWriter, block, filesystem, class.MountOptions),
		Parameters:         parameters,
	}
	if p.topology {
		if request.AccessibilityRequirements, err = p.requirements(ctx, options); err != nil {
			return nil, controller.ProvisioningNoChange, err
		}
	}
	answer, err := ask(ctx, p.timeout, p.csi.CreateVolume, request)
	if err != nil {
		return nil, stateAfter(err), err
	}
	made := answer.GetVolume()
	if made.GetVolumeId() == "" {
		return nil, controller.ProvisioningFinished, errors.New("CreateVolume answered well, and without the id of a volume")
	}
	if made.CapacityBytes != 0 {
		if made.CapacityBytes < size.Value() {
			return nil, controller.ProvisioningFinished, fmt.Errorf(
				"CreateVolume of %d bytes gave %d", size.Value(), made.CapacityBytes)
		}
		size = *resource.NewQuantity(made.CapacityBytes, resource.BinarySI)
	}
	source := &core.CSIPersistentVolumeSource{
		Driver: p.driver, VolumeHandle: made.VolumeId, VolumeAttributes: made.VolumeContext,
	}
	if !block {
		source.FSType = filesystem
	}
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: options.PVName},
		Spec: core.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *class.ReclaimPolicy,
			AccessModes:                   claim.Spec.AccessModes,
			MountOptions:                  class.MountOptions,
			VolumeMode:                    claim.Spec.VolumeMode,
			Capacity:                      core.ResourceList{core.ResourceStorage: size},
			NodeAffinity:                  affinity(made.AccessibleTopology),
			PersistentVolumeSource:        core.PersistentVolumeSource{CSI: source},
		},
	}, controller.ProvisioningFinished, nil
}

// After an error that may come of a call that is still under way, the volume may be there.
func stateAfter(err error) controller.ProvisioningState {
	switch status.Code(err) {
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable, codes.Aborted, codes.ResourceExhausted:
		return controller.ProvisioningInBackground
	default:
		return controller.ProvisioningFinished
	}
}

func (p provisioner) Delete(ctx context.Context, volume *core.PersistentVolume) error {
	if volume.Spec.CSI == nil {
		return errors.New("no volume of a CSI driver")
	}
	if err := p.stillAttached(ctx, volume.Name); err != nil {
		return err
	}
	_, err := ask(ctx, p.timeout, p.csi.DeleteVolume, &csi.DeleteVolumeRequest{VolumeId: volume.Spec.CSI.VolumeHandle})
	return err
}

// Why a volume cannot be removed yet, where something attaches it: as external-provisioner, which asks no driver before.
func (p provisioner) stillAttached(ctx context.Context, volume string) error {
	if !p.attaches {
		return nil
	}
	attachments, err := p.client.StorageV1().VolumeAttachments().List(ctx, meta.ListOptions{})
	if err != nil {
		return err
	}
	for _, attachment := range attachments.Items {
		if name := attachment.Spec.Source.PersistentVolumeName; name != nil && *name == volume {
			return fmt.Errorf("persistentvolume %s is still attached to node %s", volume, attachment.Spec.NodeName)
		}
	}
	return nil
}

// What nodes a volume may be made for: that of the pod that waits for it, else all that have the driver.
func (p provisioner) requirements(ctx context.Context, options controller.ProvisionOptions) (*csi.TopologyRequirement, error) {
	drivers, err := p.client.StorageV1().CSINodes().List(ctx, meta.ListOptions{})
	if err != nil {
		return nil, err
	}
	requirement := &csi.TopologyRequirement{}
	for _, node := range drivers.Items {
		for _, driver := range node.Spec.Drivers {
			if driver.Name != p.driver || len(driver.TopologyKeys) == 0 {
				continue
			}
			known, err := p.client.CoreV1().Nodes().Get(ctx, node.Name, meta.GetOptions{})
			if err != nil {
				return nil, err
			}
			segments := map[string]string{}
			for _, key := range driver.TopologyKeys {
				segments[key] = known.Labels[key]
			}
			topology := &csi.Topology{Segments: segments}
			if options.SelectedNode == nil || options.SelectedNode.Name == node.Name {
				requirement.Preferred = append(requirement.Preferred, topology)
				requirement.Requisite = append(requirement.Requisite, topology)
			}
		}
	}
	if len(requirement.Requisite) == 0 {
		return nil, fmt.Errorf("no node has a topology of %s", p.driver)
	}
	return requirement, nil
}

func affinity(accessible []*csi.Topology) *core.VolumeNodeAffinity {
	if len(accessible) == 0 {
		return nil
	}
	terms := make([]core.NodeSelectorTerm, 0, len(accessible))
	for _, topology := range accessible {
		term := core.NodeSelectorTerm{}
		for key, value := range topology.Segments {
			term.MatchExpressions = append(term.MatchExpressions, core.NodeSelectorRequirement{
				Key: key, Operator: core.NodeSelectorOpIn, Values: []string{value},
			})
		}
		terms = append(terms, term)
	}
	return &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: terms}}
}

// Asks a driver until it answers well, with a pause that grows: one that is busy, or comes up, is asked again. So is one
// whose answer is final: external-provisioner ends then, and its kubelet starts it anew after a pause that grows, which
// comes to the same. Nobody starts ours anew, and its end would be the lab's failure instead of the driver's.
func untilAnswered(ctx context.Context, told io.Writer, ask func() error) error {
	said := map[string]bool{}
	for pause := retryFirst; ; pause = min(2*pause, retryLast) {
		err := ask()
		if err == nil {
			return nil
		}
		if !said[err.Error()] {
			said[err.Error()] = true
			fmt.Fprintln(told, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// How a driver is reached, which may not be there yet.
func connect(socket string) (*grpc.ClientConn, error) {
	at := url.URL{Scheme: "unix", Path: socket} // which may have a # in it
	return grpc.NewClient(at.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// What is asked once, at the start: whether the driver has a topology, and whether its volumes are attached.
func learn(ctx context.Context, to *grpc.ClientConn, timeout time.Duration, told io.Writer) (topology, attaches bool, err error) {
	err = untilAnswered(ctx, told, func() (err error) {
		topology, attaches, err = plugin(ctx, to, timeout)
		return err
	})
	return topology, attaches, err
}

func plugin(ctx context.Context, to *grpc.ClientConn, timeout time.Duration) (topology, attaches bool, err error) {
	identity, own := csi.NewIdentityClient(to), csi.NewControllerClient(to)
	answer, err := ask(
		ctx, timeout, identity.GetPluginCapabilities, &csi.GetPluginCapabilitiesRequest{}, grpc.WaitForReady(true),
	)
	if err != nil {
		return false, false, err
	}
	for _, capability := range answer.Capabilities {
		if capability.GetService().GetType() == csi.PluginCapability_Service_VOLUME_ACCESSIBILITY_CONSTRAINTS {
			topology = true
		}
	}
	can, err := ask(ctx, timeout, own.ControllerGetCapabilities, &csi.ControllerGetCapabilitiesRequest{})
	if err != nil {
		return false, false, err
	}
	for _, capability := range can.Capabilities {
		if capability.GetRpc().GetType() == csi.ControllerServiceCapability_RPC_PUBLISH_UNPUBLISH_VOLUME {
			attaches = true
		}
	}
	return topology, attaches, nil
}

// Serves claims and released volumes; what fails is tried again without end, and told in an event.
func (p provisioner) run(ctx context.Context) {
	controller.NewProvisionController(
		ctx, p.client, p.driver, p,
		controller.LeaderElection(false),
		controller.RateLimiter(workqueue.NewTypedItemExponentialFailureRateLimiter[any](retryFirst, retryLast)),
		controller.FailedProvisionThreshold(0),
		controller.FailedDeleteThreshold(0),
	).Run(ctx)
}

// ControllerCommand is the executable's part csi-controller.
func ControllerCommand() *cobra.Command {
	var driver, socket, config string
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "csi-controller",
		Short: "Make, remove, attach and detach the volumes of a CSI driver as Kubernetes asks for it",
		RunE: func(command *cobra.Command, _ []string) error {
			ctx := command.Context()
			settings, err := clientcmd.BuildConfigFromFlags("", config)
			if err != nil {
				return err
			}
			// as upstream's sidecars are mostly started: with 5 a second a hundred claims would wait for us
			settings.QPS, settings.Burst = 100, 200
			client, err := kubernetes.NewForConfig(settings)
			if err != nil {
				return err
			}
			connection, err := connect(socket)
			if err != nil {
				return err
			}
			topology, attaches, err := learn(ctx, connection, timeout, os.Stderr)
			if err != nil {
				return err
			}
			own := csi.NewControllerClient(connection)
			if attaches {
				go attacher{driver: driver, csi: own, client: client, timeout: timeout}.run(ctx)
			}
			provisioner{
				driver: driver, csi: own, client: client, topology: topology, attaches: attaches, timeout: timeout,
			}.run(ctx)
			fmt.Fprintln(os.Stderr, "ended")
			return nil
		},
	}
	command.Flags().StringVar(&driver, "driver", "", "the driver's name, as GetPluginInfo says it")
	command.Flags().StringVar(&socket, "socket", "", "where its controller serves")
	command.Flags().StringVar(&config, "kubeconfig", "", "how the cluster is reached")
	command.Flags().DurationVar(&timeout, "timeout", defaultCallTimeout, "how long one call to the driver may take")
	return command
}
